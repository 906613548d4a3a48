"""Pictures for people: world maps of who answers whom, and the report of a rehearsal as one page.

Pure: values in, SVG, HTML or PNG out. What comes out asks for nothing: no script, no font, no tile.

Standards: SVG 1.1 and the CSS of SVG 2, Content Security Policy Level 3, WCAG 2.2 contrast.
"""
