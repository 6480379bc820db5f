"""History through two rule books: what each would have made of it, and how they differ. Exact: what `pipeline.replay`
decides for these subjects, found without doing what changes nothing (tests hold the two together).

    read    an item under both books; most match nothing, and cost a look at their words only
    play    the items of one subject under one book: its events and their levels
    pages   the levels of all subjects: who is told, when
    compare the two sides: events, levels, pages, and what people said of them
"""
