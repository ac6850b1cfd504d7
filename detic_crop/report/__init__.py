"""audit.csv, audit.xlsx, audit.html and the figures in them."""
