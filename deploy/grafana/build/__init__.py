"""Grafana's dashboards as code: `python -m deploy.grafana.build` writes deploy/grafana/dashboards/*.json.

One module per dashboard; queries.py has the kinds of queries, panels.py the kinds of panels, board.py what holds them.
Level names and colours come from the rule book of the installation, through the views of agents/store/views.py.
"""
