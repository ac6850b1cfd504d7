"""audit.csv, audit.xlsx, audit.html, estimate.json, datacard.md, and the figures in them."""
