"""Schema revisions, oldest first in versions/. `wenxun db upgrade` applies them."""
