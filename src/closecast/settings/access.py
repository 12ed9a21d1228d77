"""Access: API keys, proxies, rates."""

from __future__ import annotations

import re
from ipaddress import ip_network

from pydantic import BaseModel, Field, field_validator


class AccessSettings(BaseModel):
    """Access: API keys, proxies, rates."""

    api_keys_file: str = Field(
        "",
        description="File of the API keys; api_keys.json in the data folder where this is empty.",
    )
    trusted_proxies: str = Field(
        "",
        description="Addresses and networks (10.0.0.0/8) of proxies whose X-Forwarded-For and "
        "X-Forwarded-Proto count, with commas between them; empty for none.",
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

    @field_validator("rate_limit", "rate_limit_train")
    @classmethod
    def _rate(cls, value: str) -> str:
        if value and not re.fullmatch(r"[1-9][0-9]{0,6}/(second|minute|hour|day)", value):
            raise ValueError(
                f"{value[:40]!r} is no rate; expected a number per second, minute, hour or day, "
                "such as '600/minute', or nothing"
            )
        return value
