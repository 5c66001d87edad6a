"""A cluster of nodes on one PostgreSQL database. Needs the extra `cluster`: pip install 'leveret[cluster]'.

Not compiled, and loaded only by a node of a cluster and by commands about clusters.
"""
