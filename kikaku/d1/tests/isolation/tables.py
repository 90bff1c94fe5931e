"""The tables of these tests: models without an app or a migration, created by each engine its way."""

from typing import ClassVar, Self

from django.db import models


class Table(models.Model):
    objects: ClassVar[models.Manager[Self]] = models.Manager()

    class Meta:
        abstract = True
        app_label = "isolation"


class Account(Table):
    """A number that goes up and down."""

    id = models.IntegerField(primary_key=True)
    n = models.IntegerField()


class Column(Table):
    """A list in one row, as text: `,3,5`."""

    id = models.IntegerField(primary_key=True)
    items = models.TextField(default="")


class Item(Table):
    """A list as rows, in the order of ids that the database gives."""

    id = models.AutoField(primary_key=True)
    key = models.IntegerField()
    value = models.IntegerField()


class Parent(Table):
    id = models.AutoField(primary_key=True)
    token = models.CharField(max_length=50, unique=True)


class Child(Table):
    id = models.AutoField(primary_key=True)
    parent = models.ForeignKey(Parent, models.CASCADE, related_name="children")
    token = models.CharField(max_length=50)  # must be that of its parent


TABLES: tuple[type[Table], ...] = (Account, Column, Item, Parent, Child)
