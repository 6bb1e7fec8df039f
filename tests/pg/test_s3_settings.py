"""What a repository in S3 may be told: whose keys, and what each object is stored with. In a real S3 (Ceph)."""

import datetime
import http.server
import re
import threading
import urllib.parse

import pytest
from seawalltest import Target, process
from seawalltest.s3 import at, faultproxy, seawall_in

pytestmark = pytest.mark.s3


def archiving(cluster, wall, **environment):
    wall.run("init", **environment)
    wall.serve(**environment)
    cluster.start()
    wall.archive()
    cluster.sql("CREATE TABLE t AS SELECT 42 AS n")
    wall.wait_archived(cluster.switch_wal())


def kind_of(key):
    return next((kind for kind in ("wal", "pack", "claim") if f"/{kind}/" in key), "other")


def test_each_object_is_stored_with_what_was_asked_for(made, locked):
    """Encrypted by the store, locked against deletion, in a class for each kind. The bucket stands in the host; a restore reads it all."""
    cluster = made.cluster(segment_mb=1)
    proxy = faultproxy.FaultProxy(locked.host)
    wall = seawall_in(made, cluster, locked, f"http://localhost:{proxy.port}", url_style="virtual", sse="aws:kms", sse_key="scratch", object_lock="governance", object_lock_days=2,
                      storage_class="STANDARD", pack_storage_class="NOWHERE")
    archiving(cluster, wall)
    # Ceph has no class of that name, so only what is to go there fails: the data of backups.
    said = wall.run("backup", status=None)
    assert said.status != 0 and "/pack/" in said.err and "400 InvalidArgument" in said.err and '"storage_class"' in said.err, said
    wall.stop()
    del wall.sections["repository local"]["pack_storage_class"]
    wall.write_config()
    wall.serve()
    wall.run("backup")
    stored = [key for key in locked.keys("wall/") if "/try-" not in key]
    assert {kind_of(key) for key in stored} >= {"wal", "pack", "other"}, stored
    for key in stored:
        head = locked.head(key)
        until = datetime.datetime.fromisoformat(head["x-amz-object-lock-retain-until-date"][:19])
        left = until - datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        assert head["x-amz-server-side-encryption"] == "aws:kms" and head["x-amz-object-lock-mode"] == "GOVERNANCE", key
        assert datetime.timedelta(days=1, hours=23) < left <= datetime.timedelta(days=3), (key, until)
    key, version = next(found for found in locked.versions() if "/wal/" in found[0] and "/claim/" not in found[0])
    refused = locked.store.ask("DELETE", f"/{locked.name}/{key}", b"", {"versionId": version})
    assert refused.status == 403, refused.text
    restored, _ = wall.restore(Target("latest"), "restored", "--start")
    made.add(restored)
    assert restored.one("SELECT n FROM t") == 42
    asked = {each.path.partition("?")[0] for each in proxy.requests()}
    assert asked and all(path == "/" or path.startswith("/wall/") for path in asked), asked
    proxy.close()


class Sts(http.server.BaseHTTPRequestHandler):
    """Gives the n-th keys for the token that is in the file; refuses any other."""

    def do_POST(self):  # pylint: disable=invalid-name
        asked = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        told = self.server.told
        told.append(asked["WebIdentityToken"][0])
        until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
        body = ("<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
                f"<AccessKeyId>ASIA{len(told)}</AccessKeyId><SecretAccessKey>hush{len(told)}</SecretAccessKey>"
                f"<SessionToken>session-{len(told)}</SessionToken><Expiration>{until:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
                "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


@pytest.fixture(name="sts")
def fixture_sts():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sts)
    server.told = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def takes_the_newest_session(rgw, proxy, sts, ended):
    """The store behind the proxy takes the sessions of the STS that have not ended; its own key signs what goes on."""
    def call(head):
        session = re.search(rb"(?im)^x-amz-security-token: session-(\d+)\r", head)
        if not session or int(session[1]) > len(sts.told):
            return faultproxy.Fault("status", code=403, error="InvalidAccessKeyId")
        if int(session[1]) in ended:
            return faultproxy.Fault("status", code=400, error="ExpiredToken")
        return rgw.store.again(head, without="x-amz-security-token")

    proxy.add("change", times=-1, call=call)


def write_token(path, token):
    """As it is rotated: another file takes the name."""
    new = path.with_suffix(".new")
    new.write_text(token, encoding="utf-8")
    process.own(new).rename(path)


def test_a_role_that_ends_in_the_middle_of_a_backup_is_taken_again_with_the_token_that_is_there_then(made, rgw, rgw_proxy, sts):
    """IRSA: keys from STS, for a token in a file that is rotated."""
    cluster = made.cluster(segment_mb=1)
    wall = seawall_in(made, cluster, rgw, at(rgw_proxy))
    for name in ("access_key", "secret_key_file"):
        del wall.sections["repository local"][name]
    wall.write_config()
    token, ended = wall.folder / "token", set()
    write_token(token, "token-a\n")
    role = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": "arn:aws:iam::1:role/wal", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{sts.server_port}/", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
            "AWS_CONFIG_FILE": "/nowhere"}
    takes_the_newest_session(rgw, rgw_proxy, sts, ended)
    archiving(cluster, wall, **role)
    before = len(sts.told)
    assert set(sts.told) == {"token-a"}

    def end(head):
        """All that were given so far, and the file has another token by now."""
        if not ended:
            write_token(token, "token-b\n")
            ended.update(range(1, len(sts.told) + 1))
        return faultproxy.Fault("status", code=400, error="ExpiredToken")

    # Before the other, so that it strikes first.
    rgw_proxy.faults.insert(0, faultproxy.Fault("change", times=1, method="PUT", path="/pack/", call=end))
    wall.run("backup", **role)
    assert ended and sts.told[before:].count("token-b") >= 1 and "token-a" not in sts.told[before:], sts.told
    assert rgw.keys("wall/main/") and wall.run("list", **role).out.count("main") >= 1
    cluster.sql("INSERT INTO t VALUES (1)")
    wall.wait_archived(cluster.switch_wal())
    said = wall.run("check", "--no-segment", status=None, **role).out
    step = next(line for line in said.splitlines() if re.match(r"\w+ +credentials", line))
    assert step.startswith("ok") and "a web identity token" in step and "arn:aws:iam::1:role/wal" in step, step
    passed = step.split("passed over: ")[1]
    assert 'the configuration: neither "access_key" nor "credentials_file" is set' in passed, step
    assert "the environment: AWS_ACCESS_KEY_ID is not set" in passed, step


NOTHING = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials", "AWS_CONFIG_FILE": "/nowhere/config"}


def test_check_says_which_identity_was_found_where_and_why_others_were_not(made, rgw):
    cluster = made.cluster(segment_mb=1)
    wall = seawall_in(made, cluster, rgw)
    wall.init()
    store = rgw.store

    def step(**environment):
        said = wall.run("check", "--no-segment", status=None, **environment).out.splitlines()
        number = next(number for number, line in enumerate(said) if re.match(r"\w+ +credentials", line))
        return said[number]

    found = step()
    assert found.startswith("ok ") and f'the configuration: access key "{store.access}"' in found and "s3.secret" in found, found
    assert "passed over" not in found, found
    for name in ("access_key", "secret_key_file"):
        del wall.sections["repository local"][name]
    wall.write_config()
    key = {"AWS_ACCESS_KEY_ID": store.access, "AWS_SECRET_ACCESS_KEY": store.secret}
    found = step(**key)
    assert found.startswith("ok ") and f'the environment: access key "{store.access}"' in found, found
    assert 'passed over: the configuration: neither "access_key"' in found and "web identity" not in found, found
    shared = wall.folder / "credentials"
    shared.write_text(f"[default]\naws_access_key_id = {store.access}\naws_secret_access_key = {store.secret}\n")
    shared.chmod(0o600)
    process.own(shared)
    found = step(**NOTHING | {"AWS_SHARED_CREDENTIALS_FILE": str(shared)})
    assert found.startswith("ok ") and f'profile "default" of file "{shared}"' in found, found
    assert "the environment: AWS_ACCESS_KEY_ID is not set" in found and "AWS_WEB_IDENTITY_TOKEN_FILE is not set" in found, found
    found = step(**NOTHING)
    assert found.startswith("failed ") and "/nowhere/credentials" in found, found
    assert "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" in found and 'AWS_EC2_METADATA_DISABLED is "true"' in found, found
    for each in (found, step(**key), step(**NOTHING | {"AWS_SHARED_CREDENTIALS_FILE": str(shared)})):
        assert store.secret not in each
