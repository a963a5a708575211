"""Logs, alarms and dashboards."""
