"""Data sets as people have them: tables, arrays, pictures and IDX files, and how they are shared out among clients.

`opening` recognizes what there is and reads it, by a module for each format; `splitting` has the arithmetic; `dividing`
decides who gets which examples; `writing` makes the clients' folders.
"""
