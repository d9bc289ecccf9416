"""The GraphQL schema, put together from its parts."""

from __future__ import annotations

import functools
from pathlib import Path

import strawberry
from graphql import GraphQLSchema
from strawberry.printer import print_schema

from telestream.graphql.admin_fields import AdminMutation
from telestream.graphql.alert_fields import AlertMutation, AlertQuery, AlertSubscription
from telestream.graphql.analytics_fields import AnalyticsQuery
from telestream.graphql.customer_fields import CustomerQuery
from telestream.graphql.fraud_fields import FraudQuery
from telestream.graphql.network_fields import NetworkQuery
from telestream.graphql.quality_fields import QualityQuery
from telestream.graphql.scalars import CONFIG

# The schema as frontends get it, beside this file.
SDL = Path(__file__).with_name("schema.graphql")


@strawberry.type(description="What can be asked.")
class Query(NetworkQuery, CustomerQuery, QualityQuery, AlertQuery, FraudQuery, AnalyticsQuery):
    """All queries."""


@strawberry.type(description="What can be changed.")
class Mutation(AlertMutation, AdminMutation):
    """All mutations."""


@strawberry.type(description="What can be listened to, over graphql-transport-ws.")
class Subscription(AlertSubscription):
    """All subscriptions."""


@functools.cache
def _made() -> strawberry.Schema:
    return strawberry.Schema(Query, Mutation, Subscription, config=CONFIG)


def schema() -> GraphQLSchema:
    """Return the schema as graphql-core executes it."""
    return _made()._schema


def sdl() -> str:
    """Return the schema as text."""
    return print_schema(_made()) + "\n"
