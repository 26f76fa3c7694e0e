"""Charts: values to HTML and SVG, of nothing but their arguments."""
