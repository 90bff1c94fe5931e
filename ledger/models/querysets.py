"""The type variable of the models' querysets: it carries what `annotate()` adds to a row."""

from typing import TypeVar

from django.db import models

ModelT = TypeVar("ModelT", bound=models.Model, covariant=True)
