"""What a store holds, as pages: written once as a folder, or served live.

store → gather.py      one pass over all series: their changes, the newest nights, how devices do
      → Snapshot       all that pages are made of, but for the rows of a run and the points of a series
      → pages.py       HTML and data, the same for
           build.py    a folder that opens from a disk
           live.py     answers, which server.py hands out and gate.py guards
"""
