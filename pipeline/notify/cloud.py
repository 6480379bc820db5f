"""SMS and voice of Alibaba Cloud and Tencent Cloud: what is asked of them, and what their answers mean.

Success is what the body says, never the status: `Code` "OK", `SendStatusSet[].Code` "Ok", a `CallId`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from pipeline.model import Millis
from pipeline.notify import cloud_sign, gateway
from pipeline.rulebook.schema import Channel, ChannelType

SMS_LENGTHS = (35, 15, 6)
"""Characters of a place: what an organisation's account may send, then less when the provider says it is too long:
accounts of persons have 15 (Alibaba Cloud), new ones of Tencent Cloud 6."""
VOICE_LENGTHS = (100, 30, 12)
_HOSTS = {
    ChannelType.ALIYUN_SMS: "dysmsapi", ChannelType.ALIYUN_VOICE: "dyvmsapi",
    ChannelType.TENCENT_SMS: "sms", ChannelType.TENCENT_VOICE: "vms",
}
_ACTIONS = {
    ChannelType.ALIYUN_SMS: ("SendSms", "2017-05-25"), ChannelType.ALIYUN_VOICE: ("SingleCallByTts", "2017-05-25"),
    ChannelType.TENCENT_SMS: ("SendSms", "2021-01-11"), ChannelType.TENCENT_VOICE: ("SendTts", "2020-09-02"),
}
_VOICE = (ChannelType.ALIYUN_VOICE, ChannelType.TENCENT_VOICE)
_TENCENT = (ChannelType.TENCENT_SMS, ChannelType.TENCENT_VOICE)


class Fate(StrEnum):
    SENT = "sent"
    RETRY = "retry"
    REFUSED = "refused"
    TOO_LONG = "too_long"            # the same with shorter values may pass


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means. text: Chinese, of our own words and the provider's code alone. after: ms to wait."""

    fate: Fate
    text: str = ""
    after: Millis | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A POST. Its headers carry a signature and its URL a number: in no log."""

    url: str
    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        return "Request(…)"


def lengths(kind: ChannelType) -> tuple[int, ...]:
    return VOICE_LENGTHS if kind in _VOICE else SMS_LENGTHS


def request(
    channel: Channel, key: cloud_sign.Key, fields: Mapping[str, str], number: str, ident: str, longest: int,
    seconds: int, nonce: str,
) -> Request:
    """fields: of the message, what `params` names. number: E.164. ident: the delivery's, for the provider's log."""
    values = gateway.filled(channel.params, fields, longest, aloud=channel.type in _VOICE)
    host, base = _endpoint(channel)
    action, version = _ACTIONS[channel.type]
    if channel.type in _TENCENT:
        body = msgspec.json.encode(_tencent(channel, list(values.values()), number, ident))
        headers = cloud_sign.tencent(
            key, host=host, service=_HOSTS[channel.type], action=action, version=version,
            region=channel.region or "ap-guangzhou", body=body, seconds=seconds)
        return Request(f"{base}/", headers, body)
    query = cloud_sign.query_of(_aliyun(channel, values, number, ident))
    headers = cloud_sign.aliyun(
        key, host=host, action=action, version=version, query=query, seconds=seconds, nonce=nonce)
    return Request(f"{base}/?{query}", headers, b"")


def _endpoint(channel: Channel) -> tuple[str, str]:
    """(host as it is signed, address without a path): the channel's url, else the provider's own."""
    if channel.url:
        base = channel.url.rstrip("/")
        return base.partition("://")[2], base
    name = _HOSTS[channel.type]
    if channel.type in _TENCENT:
        host = f"{name}.tencentcloudapi.com"
    elif channel.region in ("", "cn-hangzhou") or channel.region.startswith("cn-"):
        host = f"{name}.aliyuncs.com"
    else:
        host = f"{name}.{channel.region}.aliyuncs.com"
    return host, f"https://{host}"


def _aliyun(channel: Channel, values: Mapping[str, str], number: str, ident: str) -> dict[str, str]:
    called = number.removeprefix("+86").removeprefix("+")
    filled = msgspec.json.encode(values).decode()
    if channel.type is ChannelType.ALIYUN_SMS:
        return {"PhoneNumbers": called, "SignName": channel.sign, "TemplateCode": channel.template,
                "TemplateParam": filled, "OutId": ident}
    shown = {"CalledShowNumber": channel.caller} if channel.caller else {}
    return {**shown, "CalledNumber": called, "TtsCode": channel.template, "TtsParam": filled, "OutId": ident[:15]}


def _tencent(channel: Channel, values: list[str], number: str, ident: str) -> dict[str, Any]:
    if channel.type is ChannelType.TENCENT_SMS:
        return {"PhoneNumberSet": [number], "SmsSdkAppId": channel.app, "SignName": channel.sign,
                "TemplateId": channel.template, "TemplateParamSet": values, "SessionContext": ident}
    return {"TemplateId": channel.template, "CalledNumber": number, "VoiceSdkAppid": channel.app,
            "TemplateParamSet": values, "SessionContext": ident}


# ---------------------------------------------------------------- what they answer


def verdict(channel: Channel, answer: Mapping[str, Any]) -> Verdict | None:
    """What the JSON object of an answer means; None when it is none of the provider's."""
    code = _tencent_code(answer) if channel.type in _TENCENT else answer.get("Code")
    if not isinstance(code, str) or not code:
        return None
    if code in ("OK", "Ok"):
        return Verdict(Fate.SENT)
    found = next((each for prefix, each in _KNOWN if code.startswith(prefix)), None)
    shown = code if re.fullmatch(r"[A-Za-z][A-Za-z._-]{0,79}", code) else "不认识的代码"
    if found is None:
        return Verdict(Fate.RETRY, f"通道 {channel.id}：对方没有接收（{shown}，含义未知，请查对方的错误码说明）")
    after = _asked(answer) if code == "isv.BUSINESS_LIMIT_CONTROL" else found.after
    return Verdict(found.fate, f"通道 {channel.id}：{found.text}（{shown}）", after)


def _tencent_code(answer: Mapping[str, Any]) -> Any:
    told = answer.get("Response")
    if not isinstance(told, dict):
        return None
    if isinstance(error := told.get("Error"), dict):
        return error.get("Code")
    if isinstance(states := told.get("SendStatusSet"), list) and states and isinstance(states[0], dict):
        return states[0].get("Code")
    status = told.get("SendStatus")
    return "Ok" if isinstance(status, dict) and status.get("CallId") else None


def _asked(answer: Mapping[str, Any]) -> Millis:
    """Alibaba Cloud says in words which of its limits it was: of a minute, an hour or a day."""
    words = str(answer.get("Message", ""))
    return 3_600_000 if "天级" in words else 600_000 if "小时级" in words else _MINUTE


def _retry(text: str, after: Millis) -> Verdict:
    return Verdict(Fate.RETRY, text, after)


def _refused(text: str) -> Verdict:
    return Verdict(Fate.REFUSED, text)


_MINUTE = 60_000
_LONG = Verdict(Fate.TOO_LONG, "模板变量过长，截到 6 个字仍不接受，请在服务商控制台看这个模板的变量长度")
_KEY = _refused("密钥不对或没有权限，请核对 key_file、secret_file，并在服务商的访问控制里授权")
_CLOCK = _retry("本机时间与服务商相差太多，请校准系统时钟", _MINUTE)
_SIGN = _refused("短信签名没有通过审核或写错了，请核对 sign")
_TEMPLATE = _refused("模板没有通过审核、写错了，或变量与 params 对不上，请核对 template 和 params")
_NUMBER = _refused("服务商不认这个手机号，请核对 roster.yml 里的 mobile")
_WORDS = _refused("内容被服务商拦下（链接或敏感词）")
_MONEY = _refused("账户欠费、余额不足或没有开通这项服务，请充值或开通")
_KNOWN: tuple[tuple[str, Verdict], ...] = (
    # Alibaba Cloud
    ("isv.BUSINESS_LIMIT_CONTROL", _retry("发给这个号码的次数超过了限制", _MINUTE)),
    ("isv.DAY_LIMIT_CONTROL", _retry("超过了每天的发送上限，可在控制台调整", 3_600_000)),
    ("isv.MONTH_LIMIT_CONTROL", _retry("超过了每月的发送上限，可在控制台调整", 3_600_000)),
    ("Throttling", _retry("调用太频繁", 10_000)),
    ("isv.PARAM_LENGTH_LIMIT", _LONG),
    ("isv.SMS_SIGNATURE", _SIGN), ("isv.SMS_SIGN_ILLEGAL", _SIGN), ("isv.SIGN", _SIGN),
    ("isv.SMS_TEMPLATE", _TEMPLATE), ("isv.TEMPLATE_MISSING", _TEMPLATE), ("isv.INVALID_JSON_PARAM", _TEMPLATE),
    ("isv.TTS_TEMPLATE", _TEMPLATE), ("isv.TEMPLATE_ILLEGAL", _TEMPLATE), ("isv.SMS_CONTENT", _TEMPLATE),
    ("isv.MOBILE_NUMBER", _NUMBER), ("isv.CALLED_NUMBER", _NUMBER),
    ("isv.TEMPLATE_PARAMS_ILLEGAL", _WORDS), ("isv.BLACK_KEY", _WORDS), ("isv.PARAM_NOT_SUPPORT_URL", _WORDS),
    ("isv.AMOUNT_NOT_ENOUGH", _MONEY), ("isv.OUT_OF_SERVICE", _MONEY), ("isv.PRODUCT_UN", _MONEY),
    ("isv.ACCOUNT", _MONEY),
    ("isp.RAM_PERMISSION_DENY", _KEY), ("InvalidAccessKeyId", _KEY), ("SignatureDoesNotMatch", _KEY),
    ("IncompleteSignature", _KEY), ("Forbidden", _KEY), ("NoPermission", _KEY), ("InvalidSecurityToken", _KEY),
    ("InvalidTimeStamp", _CLOCK),
    # Tencent Cloud
    ("RequestLimitExceeded", _retry("调用太频繁", 10_000)),
    ("LimitExceeded.PhoneNumberThirtySecondLimit", _retry("发给这个号码的次数超过了限制", 30_000)),
    ("LimitExceeded.PhoneNumberOneHourLimit", _retry("发给这个号码的次数超过了限制", 600_000)),
    ("LimitExceeded.DeliveryFrequencyLimit", _retry("发送频率超过了限制", _MINUTE)),
    ("LimitExceeded", _retry("超过了每天的发送上限，可在控制台调整", 3_600_000)),
    ("InvalidParameterValue.TemplateParameterLengthLimit", _LONG),
    ("InvalidParameterValue.ContentLengthLimit", _LONG),
    ("AuthFailure.SignatureExpire", _CLOCK), ("InternalError.RequestTimeException", _CLOCK),
    ("AuthFailure", _KEY),
    ("FailedOperation.SignatureIncorrect", _SIGN), ("InvalidParameterValue.SignName", _SIGN),
    ("FailedOperation.Template", _TEMPLATE), ("InvalidParameterValue.Template", _TEMPLATE),
    ("FailedOperation.FailResolvePacket", _TEMPLATE), ("FailedOperation.JsonParseFail", _TEMPLATE),
    ("InvalidParameterValue.IncorrectPhoneNumber", _NUMBER), ("InvalidParameterValue.CalledNumber", _NUMBER),
    ("InvalidParameterValue.Phone", _NUMBER), ("FailedOperation.PhoneNumberInBlacklist", _NUMBER),
    ("FailedOperation.CalledNumber", _NUMBER),
    ("FailedOperation.ContainSensitiveWord", _WORDS), ("ProhibitedUseUrl", _WORDS),
    ("FailedOperation.ProhibitedUseUrl", _WORDS), ("InvalidParameterValue.ProhibitedUseUrl", _WORDS),
    ("FailedOperation.InsufficientBalance", _MONEY), ("UnauthorizedOperation.SerivceSuspend", _MONEY),
    ("UnauthorizedOperation.ServiceSuspend", _MONEY),
    ("InvalidParameterValue.SdkAppId", _refused("没有这个应用，请核对 app")),
    ("UnauthorizedOperation.SmsSdkAppIdVerifyFail", _refused("没有这个应用，请核对 app")),
    ("UnauthorizedOperation.VoiceSdkAppidVerifyFail", _refused("没有这个应用，请核对 app")),
    ("UnauthorizedOperation.RequestIpNotInWhitelist", _refused("本机的出口 IP 不在应用的白名单里")),
    ("UnauthorizedOperation", _KEY),
)
"""By the beginning of a code, the first that fits. Everything else is tried again: giving up is what loses a page."""
