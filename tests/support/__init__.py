"""What the contract suite and the process tests stand on.

A *site* is one runner with its bus, its workers and a journal (site.py); it lives in this process
or in another (child.py there, process.py here), and is spoken to in the same way. Workers under
test (workers.py, pipelines.py) write what happens to them into the journal; tests wait for its
notes, never for the clock. What is compared across processes is compared as text (describe.py).
"""
