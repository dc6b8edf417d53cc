"""What code is full of is nobody's; what stands in code and is somebody's stays."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.pipelines.stages.pii import stage as pii
from headrace.pipelines.stages.pii.config import Config
from tests.builders import contents_of, text_table


def found(text: str, **switches: object) -> list[tuple[str, str]]:
    rows = pii.find([text], Config.model_validate(switches)).to_pylist()
    kept = ("URL", "DATE_TIME")
    return [
        (r["entity"], text[r["start"] : r["end"]])
        for r in rows
        if r["score"] >= 0.4 and r["entity"] not in kept
    ]


@pytest.mark.parametrize(
    "text",
    [
        "git clone git@github.com:user/repo.git",
        "git clone ssh://git@git.example.org:2222/user/repo",
        "url = git@gitlab.example.org:a/b.git",
        "pip install git+ssh://git@github.com/a/b@v1.2",
        "svn+ssh://svn@svn.example.org/x",
        "Write xs[1::2], or use a::b in C++.",
        "x[2001::3] and arr[:, 2024::4] and f(x)[10::2]",
        "face::cafe(b) and d::b and cafe::",
        "nums = nums[n-1::-1]",
        "created_at: 1712345678",
        '{"createdAt": 1712345678901, "updated_at": "1712345678"}',
        "exp=1712345678&iat=1712345000",
        "timestamp: 1712345678901234",
        "the number of seconds since the epoch is 1712345678",
        "datetime.fromtimestamp(1712345678)",
        "[1712345678.123] usb 1-1: new device",
        "x = 0xff0000000000",
        "INT_MIN is -2147483648, INT_MAX is 2147483647",
        "return -2147221231",
        "bpo-16991, case_164-21-0",
        "https://example.org/trainer/16891",
        "A 28.25 317.18 0 and 0.2 -0.15 -0.1",
        "quantize(Decimal('+35236450.6'))",
        "valid_date('03-32-2011')",
        "there must be 91676 - 61619 = 30057 of them to call",
        "mask 255.255.255.0",
        "see section 8.2.4.44",
        "known versions: 2.7.2.2, 3.1.1.6",
        "Chrome/96.0.4664.110 Foo/1.2.3.4 foo-1.2.3.4.tar.gz",
        "the object 1.3.6.1.4.1.311",
        "lunch @ example.com",
    ],
)
def test_it_is_nobodys(text: str) -> None:
    assert found(text) == []
    assert contents_of(pii.apply(text_table([text]), Config())) == [[text]]


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("write to jane.git@example.org", ("EMAIL_ADDRESS", "jane.git@example.org")),
        ("write to digit@example.org", ("EMAIL_ADDRESS", "digit@example.org")),
        ("ssh jane@example.org:x", ("EMAIL_ADDRESS", "jane@example.org")),
        ("call me at 1712345678", ("PHONE_NUMBER", "1712345678")),
        ("phone: 1123456789", ("PHONE_NUMBER", "1123456789")),
        ('{"phone": 4951123456, "created_at": 1712345678}', ("PHONE_NUMBER", "4951123456")),
        ("it came on: 4258828080", ("PHONE_NUMBER", "4258828080")),
        ("at 425 882.8080", ("PHONE_NUMBER", "425 882.8080")),
        ("Phone -4258828080", ("PHONE_NUMBER", "-4258828080")),
        ("server of this version on host 10.4.2.1", ("IP_ADDRESS", "10.4.2.1")),
        ("ip_table at 10.4.2.1", ("IP_ADDRESS", "10.4.2.1")),
        ("listen on [2001:db8::1]:8080", ("IP_ADDRESS", "2001:db8::1")),
        ("1:2:3::4 is one", ("IP_ADDRESS", "1:2:3::4")),
    ],
)
def test_it_is_somebodys(text: str, due: tuple[str, str]) -> None:
    assert found(text) == [due]


@given(
    first=st.one_of(
        st.integers(0x2000, 0x3FFF),
        st.integers(0xFC00, 0xFDFF),
        st.integers(0xFE80, 0xFEBF),
        st.integers(0xFF00, 0xFFFF),
    ),
    last=st.integers(1, 0xFFFF),
    gap=st.sampled_from(["ping {}", "at {} now", "http://[{}]/x", "{}", "- {}"]),
)
@settings(max_examples=100, deadline=None)
def test_short_addresses_that_are_given_out_stay(first: int, last: int, gap: str) -> None:
    address = str(ipaddress.IPv6Address((first << 112) | last))
    assert ("IP_ADDRESS", address) in found(gap.format(address))


@given(
    base=st.sampled_from(["xs", "a.b", "f(x)", "m[0]", "d"]),
    start=st.integers(0, 9999),
    step=st.one_of(st.none(), st.integers(-9, 99)),
)
@settings(max_examples=60, deadline=None)
def test_no_slice_is_an_address(base: str, start: int, step: int | None) -> None:
    assert found(f"y = {base}[{start}::{'' if step is None else step}]") == []


@given(seconds=st.integers(1_000_000_000, 2_147_000_000), finer=st.sampled_from([1, 1000, 10**6, 10**9]))
@settings(max_examples=60, deadline=None)
def test_no_time_since_1970_is_a_telephone_number(seconds: int, finer: int) -> None:
    for label in ("created_at: {}", '"updatedAt": {}', "timestamp = {}", "expires={}", '"ts":{}'):
        assert found(label.format(seconds * finer)) == []


def test_the_step_can_be_left_out() -> None:
    assert found("git@github.com:a/b", without=["code"]) == [("EMAIL_ADDRESS", "git@github.com")]
    assert found("xs[1::2]", without=["code"]) == [("IP_ADDRESS", "1::2")]
