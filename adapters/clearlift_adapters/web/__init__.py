"""The worker as a page: what `report` writes into a file, and `serve` shows while it changes.

`facts` is what a page is made from, `diagram` and `figures` draw, `page` fills the templates. A
page needs nothing but itself: no script, no font, no picture from anywhere. Names in it were
written by customers, so every one of them is escaped.
"""
