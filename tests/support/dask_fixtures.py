"""A real Dask cluster of three workers with nannies."""

import pytest

from tests.support.dask_cluster import DaskCluster


# Not for the whole session: idle, it takes a quarter of a core from the tests after these.
@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    pytest.importorskip("distributed")
    cluster = DaskCluster(tmp_path_factory.mktemp("cluster"), 3)
    yield cluster
    cluster.stop()
