"""Access: API keys, hosts, origins, proxies, rates."""

from __future__ import annotations

import re
from ipaddress import ip_network

from pydantic import BaseModel, Field, field_validator

from closecast.settings.addresses import host_patterns, origin_list, path_prefix


class AccessSettings(BaseModel):
    """Access: API keys, hosts, origins, proxies, rates."""

    api_keys_file: str = Field(
        "",
        description="File of the API keys; api_keys.json in the data folder where this is empty.",
    )
    trusted_proxies: str = Field(
        "",
        description="Addresses and networks (10.0.0.0/8) of proxies whose X-Forwarded-For, -Proto, "
        "-Host and -Prefix count, with commas between them; empty for none.",
    )
    allowed_hosts: str = Field(
        "",
        description="Names by which clients call the service beside localhost: of a container, a "
        "tunnel, a proxy; such as closecast, *.example.org, with commas between them; * for any. "
        "Another Host is then refused; without this it is only on loopback without API keys.",
    )
    cors_origins: str = Field(
        "",
        description="Origins of web pages elsewhere that may call the service, such as "
        "https://app.example, http://localhost:3000, with commas between them; * for any page; "
        "empty for none.",
    )
    root_path: str = Field(
        "",
        description="Prefix of the service's paths behind a proxy, such as /closecast, whether "
        "the proxy removes it or not; empty for none, or for what a trusted proxy's "
        "X-Forwarded-Prefix says.",
    )
    rate_limit: str = Field(
        "",
        description="Requests that one key (without keys, one address) may send, such as "
        "600/minute; empty for any number. Each API process counts for itself.",
    )
    rate_limit_train: str = Field(
        "60/hour", description="The same of POST /train alone, on top of the other limit."
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, value: str) -> str:
        named = [part.strip() for part in value.split(",") if part.strip()]
        for part in named:
            try:
                ip_network(part)
            except ValueError as error:
                raise ValueError(
                    f"{error}; expected addresses or networks with commas between them, such as "
                    "'10.0.0.7, 10.1.0.0/16'"
                ) from None
        return ",".join(named)

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, value: str) -> str:
        return host_patterns(value)

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        return origin_list(value)

    @field_validator("root_path")
    @classmethod
    def _prefix(cls, value: str) -> str:
        prefix = path_prefix(value.strip())
        if prefix is None:
            raise ValueError(
                f"{value[:100]!r} is no prefix; expected a path of letters, digits and ._~- that "
                "begins with a slash, such as '/closecast'"
            )
        return prefix

    @field_validator("rate_limit", "rate_limit_train")
    @classmethod
    def _rate(cls, value: str) -> str:
        if value and not re.fullmatch(r"[1-9][0-9]{0,6}/(second|minute|hour|day)", value):
            raise ValueError(
                f"{value[:40]!r} is no rate; expected a number per second, minute, hour or day, "
                "such as '600/minute', or nothing"
            )
        return value
