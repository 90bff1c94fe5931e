"""Admin of staff accounts and groups."""

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.forms import ModelMultipleChoiceField
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from ops.people.names import act_label

if TYPE_CHECKING:  # Django's class takes its model in brackets for the type checker alone
    DjangoUserAdmin = BaseUserAdmin[User]
    PermissionModelField = ModelMultipleChoiceField[Permission]
else:
    DjangoUserAdmin = BaseUserAdmin
    PermissionModelField = ModelMultipleChoiceField

admin.site.unregister(User)
admin.site.unregister(Group)
# whoever edits its rows could choose what the worker calls; `ops.jobs.queue` refuses that too
for _model in apps.get_app_config("django_q").get_models():
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


class PermissionField(PermissionModelField):
    """A choice of permissions, named in Japanese; Django stores their names in English."""

    def label_from_instance(self, permission: Any) -> str:
        """Return app, model and action, such as 注文と帳簿 | 注文 | 閲覧."""
        return f"{permission.content_type} | {act_label(permission.name)}"


class PermissionChoicesMixin:
    """Admin whose field of permissions offers those alone that mean something in this admin."""

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        """Return the form field without the permissions for django-q2's tables."""
        if db_field.related_model is Permission:
            offered = Permission.objects.exclude(content_type__app_label="django_q")
            kwargs["queryset"] = offered.select_related("content_type")
            kwargs["form_class"] = PermissionField
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]


class SuperusersOnlyMixin:
    """Admin whose rows only superusers change: who may change an account could make it his own."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the user is a superuser."""
        return _is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user is a superuser."""
        return _is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user is a superuser."""
        return _is_superuser(request)


def _is_superuser(request: HttpRequest) -> bool:
    user = request.user
    return isinstance(user, User) and user.is_active and user.is_superuser


@admin.register(User)
class UserAdmin(SuperusersOnlyMixin, PermissionChoicesMixin, DjangoUserAdmin, ModelAdmin):
    """Admin of staff accounts, with unfold's templates."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: the log keeps who did what. An account out of use is made inactive."""
        return False


@admin.register(Group)
class GroupAdmin(SuperusersOnlyMixin, PermissionChoicesMixin, DjangoGroupAdmin, ModelAdmin):
    """Admin of staff groups, with unfold's templates."""
