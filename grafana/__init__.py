"""Grafana: dashboards as code, what they ask the database, and how that runs outside Grafana."""
