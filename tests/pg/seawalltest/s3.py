"""A real S3 for a test: one Ceph for the whole run, a bucket for each test, and the proxy that spoils what passes."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import uuid

import pytest

from . import process
from .wait import wait_for

SERVICES = pathlib.Path(__file__).resolve().parents[2] / "services"
sys.path.insert(0, str(SERVICES))

import faultproxy  # noqa: E402 pylint: disable=wrong-import-position
import s3  # noqa: E402 pylint: disable=wrong-import-position


def service(*arguments):
    run = subprocess.run(["sh", SERVICES / "ceph-rgw.sh", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    assert run.returncode == 0, run.stdout


@pytest.fixture(scope="session")
def rgw_env():
    """The env file of the Ceph: the one that tests/run.sh has started, or one of this run's own."""
    given = os.environ.get("SEAWALL_S3")
    if given:
        yield pathlib.Path(given)
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="swr.", dir="/tmp"))
    try:
        service("start", folder)
        yield folder / "env"
    finally:
        service("stop", folder)
        shutil.rmtree(folder)


class Bucket:
    """A bucket, how Seawall is told of it, and what is in it."""

    def __init__(self, env, **headers):
        self.store = s3.Store(env)
        self.name = f"test-{uuid.uuid4().hex[:12]}"
        self.store.must("PUT", f"/{self.name}", **headers)

    @property
    def host(self):
        """Of plain HTTP, with its port: what a proxy stands before."""
        return self.store.endpoint.removeprefix("http://")

    def keys(self, prefix=""):
        return self.store.keys(self.name, prefix)

    def get(self, key):
        return self.store.must("GET", f"/{self.name}/{key}").body

    def put(self, key, body):
        self.store.must("PUT", f"/{self.name}/{key}", body)

    def delete(self, key):
        self.store.must("DELETE", f"/{self.name}/{key}")

    def head(self, key):
        """Its headers."""
        return self.store.must("HEAD", f"/{self.name}/{key}").headers

    def versions(self):
        """(key, version) of all that there is, also of what was deleted."""
        page = self.store.must("GET", f"/{self.name}", query={"versions": ""})
        return list(zip(page.found("Key"), page.found("VersionId"), strict=True))

    def drop_versions(self, **headers):
        """A bucket that keeps versions is gone only with all of them."""
        while found := self.versions():
            for key, version in found:
                self.store.must("DELETE", f"/{self.name}/{key}", b"", {"versionId": version}, **headers)

    def remove(self):
        """With all that is in it; it may be gone already, and a server that still runs may put something into it meanwhile."""
        wait_for(self.is_removed, f"bucket {self.name} to be empty and removed", 30)

    def is_removed(self):
        if self.store.ask("GET", f"/{self.name}").status == 404:
            return True
        with contextlib.suppress(OSError):
            self.store.remove_bucket(self.name)
        return False


@pytest.fixture
def rgw(rgw_env):
    """A new bucket on the Ceph of this run."""
    bucket = Bucket(rgw_env)
    yield bucket
    bucket.remove()


@pytest.fixture
def locked(rgw_env):
    """One that was made with object lock."""
    bucket = Bucket(rgw_env, x_amz_bucket_object_lock_enabled="true")
    yield bucket
    bucket.drop_versions(x_amz_bypass_governance_retention="true")
    bucket.remove()


@pytest.fixture
def rgw_proxy(rgw):
    """A FaultProxy before the Ceph (plain HTTP)."""
    proxy = faultproxy.FaultProxy(rgw.host)
    yield proxy
    proxy.close()


def section(bucket, folder, endpoint=None, secret=None, **options):
    """The settings of a repository in the bucket; a file of the folder holds the key."""
    store, endpoint = bucket.store, endpoint or bucket.store.endpoint
    secret_file = folder / "s3.secret"
    secret_file.write_text(f"{secret or store.secret}\n", encoding="utf-8")
    secret_file.chmod(0o600)
    settings = {"url": f"s3://{bucket.name}/wall", "endpoint": endpoint, "region": store.region,
                "access_key": store.access, "secret_key_file": process.own(secret_file)}
    if endpoint.startswith("https:"):
        settings["ca_file"] = process.own(pathlib.Path(shutil.copy(store.ca, folder / "ca.crt")))
    return {**settings, **options}


def overwrites(bucket, proxy):
    """From now on the store behind the proxy takes no notice of If-None-Match. The fault counts the requests."""
    return proxy.add("change", times=-1, method="PUT", call=lambda head: bucket.store.again(head, without="if-none-match"))


def at(proxy):
    """The endpoint that a proxy is."""
    return f"http://127.0.0.1:{proxy.port}"


def seawall_in(made, cluster, bucket, endpoint=None, folder="wall", server=None, **options):
    """A configuration with its repository in the bucket; nothing is run."""
    wall = made.seawall(cluster, folder, **(server or {}))
    wall.sections["repository local"] = section(bucket, wall.folder, endpoint, **options)
    wall.write_config()
    return wall
