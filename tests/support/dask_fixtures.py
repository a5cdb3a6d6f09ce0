"""A real Dask cluster of three workers with nannies, started once for all tests that need one."""

import pytest

from tests.support.dask_cluster import DaskCluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    pytest.importorskip("distributed")
    cluster = DaskCluster(tmp_path_factory.mktemp("cluster"), 3)
    yield cluster
    cluster.stop()
