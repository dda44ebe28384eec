"""From the files of finished runs to tables, tests, figures and one page. Reads files only and imports no torch."""
