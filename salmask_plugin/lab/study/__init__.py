"""Rows times seeds to finished runs, one table and one report."""
