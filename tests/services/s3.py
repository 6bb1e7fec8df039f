#!/usr/bin/env python3
"""A small S3 client, for what tests ask of a store without Seawall. Standard library only; signs with SigV4.

  s3.py ENV METHOD PATH[?QUERY] [FILE]    ENV as ceph-rgw.sh writes it; prints the answer, exit status 1 for an error
"""

import copy
import datetime
import hashlib
import hmac
import http.client
import pathlib
import re
import ssl
import sys
import urllib.parse
from xml.sax import saxutils


def hmac_sha256(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, answer):
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()

    @property
    def text(self):
        return self.body.decode(errors="replace")

    def found(self, tag):
        """What stands in each element of this name (none of them is nested)."""
        return [saxutils.unescape(text, {"&quot;": '"'}) for text in re.findall(f"<{tag}>([^<]*)</{tag}>", self.text)]


class Store:
    """A store as an env file of ceph-rgw.sh describes it."""

    def __init__(self, env):
        values = dict(line.split("=", 1) for line in pathlib.Path(env).read_text(encoding="utf-8").split())
        self.access, self.secret, self.region = values["S3_ACCESS_KEY"], values["S3_SECRET_KEY"], values["S3_REGION"]
        self.bucket, self.ca = values["S3_BUCKET"], values["S3_CA"]
        self.endpoint, self.endpoint_tls = values["S3_ENDPOINT"], values["S3_ENDPOINT_TLS"]
        self.at = self.endpoint

    def through(self, endpoint):
        """The same store at another address."""
        other = copy.copy(self)
        other.at = endpoint
        return other

    def connect(self):
        at = urllib.parse.urlsplit(self.at)
        if at.scheme == "https":
            return http.client.HTTPSConnection(at.hostname, at.port, timeout=60,
                                               context=ssl.create_default_context(cafile=self.ca))
        return http.client.HTTPConnection(at.hostname, at.port, timeout=60)

    def signed(self, method, path, query, body, headers):
        """The headers of a request, with the one that signs them."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        headers = {"host": urllib.parse.urlsplit(self.at).netloc, "x-amz-content-sha256": digest, "x-amz-date": now,
                   **{name.lower(): value for name, value in headers.items()}}
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}"
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access}/{scope}, SignedHeaders={names}, "
                                    f"Signature={self.signature(now, scope, canonical)}")
        return headers

    def presigned(self, method, path, seconds=3600):
        """An address that does this without a key, for a client that cannot sign."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        scope, path = f"{now[:8]}/{self.region}/s3/aws4_request", urllib.parse.quote(path, safe="/~")
        query = urllib.parse.urlencode({"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{self.access}/{scope}",
                                        "X-Amz-Date": now, "X-Amz-Expires": seconds, "X-Amz-SignedHeaders": "host"})
        canonical = f"{method}\n{path}\n{query}\nhost:{urllib.parse.urlsplit(self.at).netloc}\n\nhost\nUNSIGNED-PAYLOAD"
        return f"{self.at}{path}?{query}&X-Amz-Signature={self.signature(now, scope, canonical)}"

    def signature(self, now, scope, canonical):
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac_sha256(key, part)
        return hmac_sha256(key, text).hex()

    def again(self, head, without=None, replace=("", "")):
        """The head of a signed request as its client would have sent it without a header, or with another address."""
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        headers = {key.lower(): value.strip() for key, value in (line.split(":", 1) for line in lines)}
        method, target, protocol = first.split(" ")
        target = target.replace(*replace)
        path, _, query = target.partition("?")
        scope, signed, _ = re.findall(r"[A-Za-z]+=([^,]+)", headers["authorization"])
        names, scope = [name for name in signed.split(";") if name != without], scope.split("/", 1)[1]
        canonical = "\n".join([method, path, query, *(f"{name}:{headers[name]}" for name in names), "", ";".join(names),
                               headers["x-amz-content-sha256"]])
        headers.pop(without, None)
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access}/{scope}, SignedHeaders={';'.join(names)}, "
                                    f"Signature={self.signature(headers['x-amz-date'], scope, canonical)}")
        return "\r\n".join([f"{method} {target} {protocol}", *(f"{key}: {value}" for key, value in headers.items()),
                            "", ""]).encode("latin-1")

    def ask(self, method, path, body=b"", query=None, **headers):
        """One request; path is not yet encoded, _ in the name of a header stands for -."""
        path = urllib.parse.quote(path, safe="/~")
        query = "&".join(f"{urllib.parse.quote(name, safe='')}={urllib.parse.quote(str(value), safe='')}"
                         for name, value in sorted((query or {}).items()))
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = self.connect()
        try:
            connection.request(method, path + (f"?{query}" if query else ""), body,
                               self.signed(method, path, query, body, headers))
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def must(self, *arguments, **headers):
        answer = self.ask(*arguments, **headers)
        if answer.status >= 300:
            raise OSError(f"{arguments[0]} {arguments[1]}: {answer.status} {answer.text}")
        return answer

    # -- buckets and objects --

    def make_bucket(self, bucket):
        self.must("PUT", f"/{bucket}")

    def keys(self, bucket, prefix=""):
        """All keys of a bucket, page by page."""
        keys, more = [], {}
        while True:
            page = self.must("GET", f"/{bucket}", query={"list-type": 2, "prefix": prefix, **more})
            keys += page.found("Key")
            if page.found("IsTruncated") != ["true"]:
                return keys
            more = {"continuation-token": page.found("NextContinuationToken")[0]}

    def remove_bucket(self, bucket):
        """With all that is in it."""
        for key in self.keys(bucket):
            self.must("DELETE", f"/{bucket}/{key}")
        self.must("DELETE", f"/{bucket}")


def main(env, method, target, *files):
    target = urllib.parse.urlsplit(target)
    body = pathlib.Path(files[0]).read_bytes() if files else b""
    answer = Store(env).ask(method, target.path, body, dict(urllib.parse.parse_qsl(target.query, True)))
    sys.stdout.write(answer.text)
    return answer.status >= 300


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
