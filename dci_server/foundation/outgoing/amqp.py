# SPDX-License-Identifier: Apache-2.0
"""AMQP 0-9-1, with publisher confirms: what was published is on the broker's disk, or it was not published."""

import asyncio
import logging
import ssl
from contextlib import suppress
from datetime import datetime

import aiormq
from aiormq import exceptions, spec
from aiormq.abc import AbstractChannel, AbstractConnection

from dci_server.foundation.outgoing.bus import MessageBus
from dci_server.foundation.outgoing.carriers import CarrierUnavailable, MessageRefused

_SECONDS_TO_CONNECT = 15.0
_SECONDS_TO_CONFIRM = 30.0
_SECONDS_TO_CLOSE = 3.0
_PERSISTENT = 2

# What failed is said once, where it is handled, and in words that hold no address.
_library = logging.getLogger("aiormq")
_library.addHandler(logging.NullHandler())
_library.propagate = False


class BusConnection:
    """Open within `async with`; raises CarrierUnavailable when it can't be, or breaks."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    async def __aenter__(self) -> "BusConnection":
        try:
            async with asyncio.timeout(_SECONDS_TO_CONNECT):
                self._connection = await aiormq.connect(
                    self._bus.url, context=self._trust(), client_properties={"connection_name": "dci-server"}
                )
                self._channel = await self._connection.channel(publisher_confirms=True)
                await self._find_or_declare(self._channel)
        except BaseException as error:
            await self._close()
            if isinstance(error, (*_BROKEN, ValueError)):  # what an address may be refused with
                raise CarrierUnavailable(_reason(error)) from error
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._connection is not None:
            with suppress(*_BROKEN):
                async with asyncio.timeout(_SECONDS_TO_CLOSE):
                    await self._connection.close()

    def _trust(self) -> ssl.SSLContext | None:
        if not self._bus.url.startswith("amqps"):
            return None
        return ssl.create_default_context(cafile=self._bus.ca_file)

    async def _find_or_declare(self, channel: AbstractChannel) -> None:
        bus = self._bus
        if not bus.declares:
            await channel.exchange_declare(bus.exchange, passive=True)
            return
        await channel.exchange_declare(bus.exchange, exchange_type="direct", durable=True)
        await channel.queue_declare(bus.queue, durable=True)
        await channel.queue_bind(bus.queue, bus.exchange, bus.routing_key)

    async def publish(self, body: bytes, *, message_id: str, kind: str, at: datetime) -> None:
        """Back when the broker has it for good. Raises MessageRefused for this message alone."""
        assert self._channel is not None
        properties = spec.Basic.Properties(
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=_PERSISTENT,
            message_id=message_id,
            message_type=kind,
            timestamp=at,
            app_id="dci-server",
        )
        try:
            await self._channel.basic_publish(
                body,
                exchange=self._bus.exchange,
                routing_key=self._bus.routing_key,
                properties=properties,
                mandatory=True,
                timeout=_SECONDS_TO_CONFIRM,
            )
        except exceptions.PublishError as error:
            raise MessageRefused("no queue takes it: bind one to the exchange with the routing key") from error
        except exceptions.DeliveryError as error:
            raise MessageRefused("the broker did not take it") from error
        except _BROKEN as error:
            raise CarrierUnavailable(_reason(error)) from error


_BROKEN = (exceptions.AMQPError, exceptions.ChannelInvalidStateError, OSError, TimeoutError, EOFError)


def _reason(error: BaseException) -> str:
    """What servers and libraries say may quote an address with its password; what failed is enough."""
    match error:
        case exceptions.AuthenticationError() | exceptions.ProbableAuthenticationError():
            return "it refuses the login"
        case exceptions.ConnectionNotAllowed() | exceptions.ChannelAccessRefused():
            return "this user may not use the virtual host, the exchange or the queue"
        case exceptions.ChannelNotFoundEntity():
            return "there is no such exchange; make it, or set AMQP_DECLARE=on"
        case exceptions.ChannelPreconditionFailed():
            return "exchange or queue are there and of another kind; set AMQP_DECLARE=off to use them as they are"
        case ssl.SSLError():
            return "the TLS connection fails: is the certificate valid, and for this name?"
        case TimeoutError():
            return "it does not answer in time"
        case _:
            cause = error.__cause__ or error.__context__
            return _reason(cause) if isinstance(cause, ssl.SSLError) else "it can't be reached, or the connection broke"
