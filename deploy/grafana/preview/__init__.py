"""What the dashboards would show, drawn by a page of our own: no Grafana is run, and what only Grafana does (colours
from the rule book, transformations, links, axes) is only hinted at. For looking at layout, words and empty states.
"""
