"""From records to tables, statistics, plots and reports; reads out folders only and imports no torch."""
