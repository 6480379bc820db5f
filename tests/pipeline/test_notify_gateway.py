"""Gateways: signatures against the providers' published examples, values of places, what answers mean, templates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.notify import cloud, cloud_sign, gateway, template
from pipeline.notify.cloud import Fate
from pipeline.notify.cloud_sign import Key
from pipeline.rulebook.schema import Channel, ChannelType, Person

EXAMPLE = b'{"Limit": 1, "Filters": [{"Values": ["\\u672a\\u547d\\u540d"], "Name": "instance-name"}]}'


def test_the_signature_of_tencent_cloud_is_that_of_its_published_example() -> None:
    """Signature v3 of the API documentation: DescribeInstances of cvm, with keys of asterisks."""
    headers = cloud_sign.tencent(
        Key("AKID" + "*" * 32, "*" * 32), host="cvm.tencentcloudapi.com", service="cvm", action="DescribeInstances",
        version="2017-03-12", region="ap-guangzhou", body=EXAMPLE, seconds=1551113065)
    assert headers["Authorization"] == (
        "TC3-HMAC-SHA256 Credential=AKID********************************/2019-02-25/cvm/tc3_request, "
        "SignedHeaders=content-type;host;x-tc-action, "
        "Signature=10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f")
    assert (headers["X-TC-Timestamp"], headers["X-TC-Region"]) == ("1551113065", "ap-guangzhou")


def test_the_signature_of_alibaba_cloud_is_that_of_its_published_example() -> None:
    """V3 request structure and signature: RunInstances of ecs, the fixed parameters of the documentation."""
    query = cloud_sign.query_of({
        "RegionId": "cn-shanghai", "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"})
    headers = cloud_sign.aliyun(
        Key("YourAccessKeyId", "YourAccessKeySecret"), host="ecs.cn-shanghai.aliyuncs.com", action="RunInstances",
        version="2014-05-26", query=query, seconds=1698315752, nonce="3156853299f313e23d1673dc12e1703d")
    assert headers["x-acs-date"] == "2023-10-26T10:22:32Z"
    assert headers["Authorization"] == (
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;"
        "x-acs-signature-nonce;x-acs-version,"
        "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0")


def test_a_query_is_encoded_as_the_signature_wants_it() -> None:
    assert cloud_sign.query_of({"b": "一 +*~/", "a": "x"}) == "a=x&b=%E4%B8%80%20%2B%2A~%2F"


def test_a_key_is_in_no_text() -> None:
    key = Key("LTAI-canary-id", "canary-secret")
    asked = cloud.request(channel(ChannelType.ALIYUN_SMS), key, {}, "+8613800000000", "d1", 35, 0, "n")
    assert "canary" not in repr(key) + repr(asked) and "138" not in repr(asked)


@pytest.mark.parametrize(("text", "number", "shown"), [
    ("13800000000", "+8613800000000", "138****0000"), ("138 0000 0000", "+8613800000000", "138****0000"),
    ("+86-138-0000-0000", "+8613800000000", "138****0000"), ("0086 138 0000 0000", "+8613800000000", "138****0000"),
    ("+85291234567", "+85291234567", "+85****4567"), ("1380000", "", "****"), ("12800000000", "", "****"),
    ("+86 21 5555 6666", "", "****"), ("白班", "", "****"), ("", "", "****")])
def test_a_number_is_read_as_people_write_it_and_shown_masked(text: str, number: str, shown: str) -> None:
    assert (gateway.mobile(text), gateway.masked(number)) == (number, shown)


@pytest.mark.parametrize(("text", "expected"), [
    ("【石桥】投票站", "石桥 投票站"), ("见 https://evil.example/a?b=1，还有", "见 网址略，还有"),
    ("见 www.evil.example 吧", "见 网址略 吧"), ("evil.example.com 和 10.0.0.1", "evil．example．com 和 10．0．0．1"),
    ("涨了 3.5 倍", "涨了 3.5 倍"), ("☞★好✓", "好"), ("", "无"), ("【】", "无"), ("a\r\nb\x00c", "a bc")])
def test_a_place_holds_nothing_that_a_provider_refuses(text: str, expected: str) -> None:
    assert gateway.value(text, 35) == expected


def test_a_place_is_as_long_as_the_provider_allows() -> None:
    assert gateway.value("投" * 40, 35) == "投" * 34 + "…" and len(gateway.value("投" * 40, 6)) == 6
    assert gateway.value("投" * 35, 35) == "投" * 35


def test_what_is_read_aloud_has_no_signs() -> None:
    assert gateway.value("E-0317：17:30 起 50% #投票", 100, aloud=True) == "E 0317：17点30分 起 50 投票"


def test_places_are_named_or_in_order() -> None:
    fields = {"number": "E-0317", "level": "重大"}
    assert gateway.filled(("code=number", "level"), fields, 35) == {"code": "E-0317", "level": "重大"}
    assert list(gateway.filled(("number", "level", "number"), fields, 35).values()) == ["E-0317", "重大", "E-0317"]


def channel(kind: ChannelType, **changes: Any) -> Channel:
    values: dict[str, Any] = {"id": "c", "type": kind, "key_file": "id", "secret_file": "key", "template": "SMS_1",
                              "sign": "石桥镇", "app": "1400006666", "params": ("number", "title"), **changes}
    return Channel(**values)


@pytest.mark.parametrize(("kind", "region", "host"), [
    (ChannelType.ALIYUN_SMS, "", "dysmsapi.aliyuncs.com"),
    (ChannelType.ALIYUN_SMS, "cn-beijing", "dysmsapi.aliyuncs.com"),
    (ChannelType.ALIYUN_SMS, "ap-southeast-1", "dysmsapi.ap-southeast-1.aliyuncs.com"),
    (ChannelType.ALIYUN_VOICE, "", "dyvmsapi.aliyuncs.com"), (ChannelType.TENCENT_SMS, "", "sms.tencentcloudapi.com"),
    (ChannelType.TENCENT_VOICE, "ap-beijing", "vms.tencentcloudapi.com")])
def test_each_service_has_its_address(kind: ChannelType, region: str, host: str) -> None:
    asked = cloud.request(channel(kind, region=region), Key("i", "s"), {}, "+8613800000000", "d1", 35, 0, "n")
    assert asked.url.startswith(f"https://{host}/") and host in {asked.headers.get("Host"), asked.headers.get("host")}


def _sms(code: str) -> dict[str, Any]:
    return {"Response": {"SendStatusSet": [{"Code": code, "Message": "m"}], "RequestId": "r"}}


def _error(code: str) -> dict[str, Any]:
    return {"Response": {"Error": {"Code": code, "Message": "m"}, "RequestId": "r"}}


A, T, V = ChannelType.ALIYUN_SMS, ChannelType.TENCENT_SMS, ChannelType.TENCENT_VOICE


@pytest.mark.parametrize(("kind", "answer", "fate", "words", "after"), [
    (A, {"Code": "OK"}, Fate.SENT, "", None), (T, _sms("Ok"), Fate.SENT, "", None),
    (V, {"Response": {"SendStatus": {"CallId": "c"}}}, Fate.SENT, "", None),
    (A, {"Code": "isv.BUSINESS_LIMIT_CONTROL", "Message": "触发分钟级流控Permits:1"}, Fate.RETRY, "次数", 60_000),
    (A, {"Code": "isv.BUSINESS_LIMIT_CONTROL", "Message": "触发小时级流控Permits:5"}, Fate.RETRY, "次数", 600_000),
    (A, {"Code": "isv.BUSINESS_LIMIT_CONTROL", "Message": "触发天级流控Permits:40"}, Fate.RETRY, "次数", 3_600_000),
    (A, {"Code": "Throttling.User"}, Fate.RETRY, "太频繁", 10_000),
    (A, {"Code": "isv.SMS_SIGNATURE_ILLEGAL"}, Fate.REFUSED, "核对 sign", None),
    (A, {"Code": "isv.SMS_TEMPLATE_ILLEGAL"}, Fate.REFUSED, "核对 template", None),
    (A, {"Code": "isv.AMOUNT_NOT_ENOUGH"}, Fate.REFUSED, "余额", None),
    (A, {"Code": "isv.PARAM_LENGTH_LIMIT"}, Fate.TOO_LONG, "过长", None),
    (A, {"Code": "InvalidAccessKeyId.NotFound"}, Fate.REFUSED, "核对 key_file", None),
    (A, {"Code": "isp.SYSTEM_ERROR"}, Fate.RETRY, "含义未知", None),
    (T, _error("AuthFailure.SecretIdNotFound"), Fate.REFUSED, "核对 key_file", None),
    (T, _error("AuthFailure.SignatureExpire"), Fate.RETRY, "校准系统时钟", 60_000),
    (T, _error("RequestLimitExceeded"), Fate.RETRY, "太频繁", 10_000),
    (T, _sms("LimitExceeded.PhoneNumberThirtySecondLimit"), Fate.RETRY, "次数", 30_000),
    (T, _sms("LimitExceeded.PhoneNumberDailyLimit"), Fate.RETRY, "每天", 3_600_000),
    (T, _sms("FailedOperation.SignatureIncorrectOrUnapproved"), Fate.REFUSED, "核对 sign", None),
    (T, _sms("FailedOperation.TemplateIncorrectOrUnapproved"), Fate.REFUSED, "核对 template", None),
    (T, _sms("InvalidParameterValue.TemplateParameterLengthLimit"), Fate.TOO_LONG, "过长", None),
    (T, _sms("FailedOperation.InsufficientBalanceInSmsPackage"), Fate.REFUSED, "余额", None),
    (T, _sms("InternalError.Timeout"), Fate.RETRY, "含义未知", None),
    (V, _error("UnauthorizedOperation.RequestIpNotInWhitelist"), Fate.REFUSED, "白名单", None)])
def test_the_code_says_what_came_of_it(
    kind: ChannelType, answer: dict[str, Any], fate: Fate, words: str, after: int | None,
) -> None:
    told = cloud.verdict(channel(kind), answer)
    assert told is not None and (told.fate, told.after) == (fate, after) and words in told.text


@pytest.mark.parametrize("answer", [{}, {"Response": {}}, {"Response": {"SendStatusSet": []}}, {"Code": 0},
                                    {"Response": {"SendStatus": {}}}, {"errcode": 0}, {"Response": "Ok"}])
@pytest.mark.parametrize("kind", [A, T, V])
def test_what_is_no_answer_of_the_provider_is_no_success(kind: ChannelType, answer: dict[str, Any]) -> None:
    assert cloud.verdict(channel(kind), answer) is None


def test_an_unknown_code_that_could_hold_anything_is_not_shown() -> None:
    told = cloud.verdict(channel(A), {"Code": "13800000000 canary-secret"})
    assert told is not None and told.fate is Fate.RETRY and "canary" not in told.text and "138" not in told.text


# ---------------------------------------------------------------- templates

PERSON = Person(id="duty-a", name="甲", channels=("c",), mail="duty@mail.example", mobile="138 0000 0000")
HOSTILE = {"title": "\"},{\"to\":\"all\"}&to=all</text><to>all</to>\r\nX-Evil: 1", "text": "一句话", "link": "https://a.b/c"}


def http(**changes: Any) -> Channel:
    return Channel(**{"id": "gate", "type": ChannelType.HTTP, "url": "https://gate.example/send", **changes})


def told(secret: str = "") -> dict[str, str]:
    return template.values(HOSTILE, PERSON, "d1", True, secret)


def test_a_json_body_holds_one_text_whatever_the_text_is() -> None:
    made = template.body(http(body='{"to": "{mobile}", "n": {"t": "{title}"}, "s": "{secret}"}'), told('a"b'))
    read = json.loads(made)
    assert read["to"] == "13800000000" and read["n"]["t"].startswith('"},{"to":"all"}') and read["s"] == 'a"b'
    assert set(read) == {"to", "n", "s"}


def test_a_form_body_and_a_query_hold_one_parameter_each() -> None:
    form = template.body(http(body="to={mobile}&text={title}"), told()).decode()
    assert form.count("&") == 1 and form.startswith("to=13800000000&text=%22%7D")
    assert template.url("https://gate.example/send?t={title}", told()).count("&") == 0


def test_an_xml_body_holds_one_element() -> None:
    made = template.body(http(body="<m><to>{mobile}</to><text>{title}</text></m>"), told()).decode()
    assert made.count("<to>") == 1 and "&lt;to&gt;all" in made


def test_a_header_is_one_line_of_ascii() -> None:
    written = {"X-Title": "{title}", "X-Name": "{name}", "A": "B {secret}"}
    made = template.headers(http(body="t={text}", headers=written), told("s3cret"))
    assert "\n" not in made["X-Title"] and "\r" not in made["X-Title"]
    assert made["X-Name"] == "%E7%94%B2" and made["A"] == "B s3cret"
    assert made["Content-Type"].startswith("application/x-www-form-urlencoded")


def test_a_content_type_that_is_written_decides_the_escaping() -> None:
    gate = http(body="{title}", headers={"content-type": "application/json"})
    assert template.body(gate, told()).decode().startswith('\\"},{')
    assert template.headers(gate, told()) == {"content-type": "application/json"}


def test_a_drill_and_a_delivery_can_be_told_apart() -> None:
    assert template.body(http(body="{drill}|{id}|{person}|{mail}", headers={"Content-Type": "text/plain"}),
                         told()).decode() == "演练|d1|duty-a|duty@mail.example"


def test_a_value_that_holds_a_place_is_not_filled_again() -> None:
    values = template.values({"title": "{secret}"}, PERSON, "d1", False, "s3cret")
    assert template.body(http(body="t={title}"), values) == b"t=%7Bsecret%7D"
