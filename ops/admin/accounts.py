"""Admin of staff accounts and groups."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Exists, OuterRef
from django.forms import ModelMultipleChoiceField
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from kikaku.admin.reauthentication import require_proof
from ops.people.names import act_label
from ops.people.second_factor import reset_two_factor
from ops.people.sessions import FACTORS, sign_out_everywhere

if TYPE_CHECKING:  # Django's class takes its model in brackets for the type checker alone
    DjangoUserAdmin = BaseUserAdmin[User]
    PermissionModelField = ModelMultipleChoiceField[Permission]
else:
    DjangoUserAdmin = BaseUserAdmin
    PermissionModelField = ModelMultipleChoiceField

admin.site.unregister(User)
admin.site.unregister(Group)
# whoever edits its rows could choose what the worker calls; `ops.jobs.queue` refuses that too
# and who signs in how is changed by the pages around the sign-in alone
for _model in (
    *apps.get_app_config("django_q").get_models(),
    *apps.get_app_config("account").get_models(),
    *apps.get_app_config("mfa").get_models(),
):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


class PermissionField(PermissionModelField):
    """A choice of permissions, named in Japanese; Django stores their names in English."""

    def label_from_instance(self, permission: Any) -> str:
        """Return app, model and action, such as 注文と帳簿 | 注文 | 閲覧."""
        return f"{permission.content_type} | {act_label(permission.name)}"


class StaffCreationForm(UserCreationForm):
    """Form of a new account of staff: everything that is needed to begin, on one page."""

    usable_password = None  # Django's question for accounts that sign in elsewhere

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["is_staff"].initial = True


class PermissionChoicesMixin:
    """Admin whose field of permissions offers those alone that mean something in this admin."""

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        """Return the form field: roles as boxes, permissions without those for django-q2's tables."""
        if db_field.related_model is Group:
            kwargs["label"] = gettext("roles")
            kwargs["queryset"] = Group.objects.order_by("pk")  # as the table of roles has them
            kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget()
            kwargs["help_text"] = gettext("The roles say what the account may do; several add up.")
        if db_field.related_model is Permission:
            offered = Permission.objects.exclude(content_type__app_label__in=["django_q", "account", "mfa"])
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

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the form; whoever may change rights proves first who he is."""
        if _is_superuser(request):
            require_proof(request)
        return super().changeform_view(request, *args, **kwargs)  # type: ignore[misc]

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the page that deletes, after the same proof."""
        if _is_superuser(request):
            require_proof(request)
        return super().delete_view(request, *args, **kwargs)  # type: ignore[misc]


def _is_superuser(request: HttpRequest) -> bool:
    user = request.user
    return isinstance(user, User) and user.is_active and user.is_superuser


@admin.register(User)
class UserAdmin(SuperusersOnlyMixin, PermissionChoicesMixin, DjangoUserAdmin, ModelAdmin):
    """Admin of staff accounts, with unfold's templates."""

    form = UserChangeForm
    add_form = StaffCreationForm
    add_fieldsets = (
        (None, {"fields": ("username", "email", "groups", "is_staff", "password1", "password2")}),
    )
    filter_horizontal = ("user_permissions",)
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "roles", "has_two_factor", "last_login", "is_active")
    actions_detail = ("reset_two_factor", "sign_out_everywhere")
    list_filter = ("groups", "is_staff", "is_superuser", "is_active")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the accounts with their roles and whether they have a second factor; two queries."""
        factors = Authenticator.objects.filter(user=OuterRef("pk"), type__in=FACTORS)
        return super().get_queryset(request).annotate(two_factor=Exists(factors)).prefetch_related("groups")

    @display(description=gettext_lazy("roles"))
    def roles(self, user: Any) -> str:
        """Return the names of the account's roles."""
        if user.is_superuser:
            return gettext("superuser")
        return "、".join(group.name for group in user.groups.all()) or "–"

    @display(description=gettext_lazy("two-factor"), boolean=True)
    def has_two_factor(self, user: Any) -> bool:
        """Return whether the account has a second factor."""
        return bool(user.two_factor)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:
        """Return the form of another one's password, after the same proof as for rights."""
        if _is_superuser(request):
            require_proof(request)
        return super().user_change_password(request, id, form_url)

    def has_superuser_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Return whether the user is a superuser."""
        return _is_superuser(request)

    @action(
        description=gettext_lazy("Reset two-factor"),
        url_path="reset-two-factor",
        icon="phonelink_erase",
        permissions=["superuser"],
    )
    def reset_two_factor(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the question, or take away all second factors of an account."""
        question = gettext("Take away all second factors of %(name)s? Then the password is enough.")
        done = gettext("The second factors of %(name)s are taken away.")
        return self._act(request, object_id, gettext("Reset two-factor"), question, done, reset_two_factor)

    @action(
        description=gettext_lazy("Sign out everywhere"),
        url_path="sign-out",
        icon="logout",
        permissions=["superuser"],
    )
    def sign_out_everywhere(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the question, or end all sessions of an account."""
        question = gettext("Sign %(name)s out on every device?")
        done = gettext("%(name)s is signed out on every device.")
        return self._act(
            request, object_id, gettext("Sign out everywhere"), question, done, sign_out_everywhere
        )

    def _act(
        self,
        request: HttpRequest,
        object_id: str,
        title: str,
        question: str,
        done: str,
        act: Callable[..., object],
    ) -> HttpResponse:
        """Return the page that asks, or act on an account after proof. Raises `Http404`."""
        user = self.get_object(request, object_id)
        if user is None:
            raise Http404
        require_proof(request)
        name, back = {"name": user.get_username()}, reverse("admin:auth_user_change", args=[user.pk])
        if request.method == "POST":
            act(user, now=timezone.now())
            messages.success(request, done % name)
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "question": question % name,
            "button": title,
            "back": back,
            "opts": self.opts,
        }
        return TemplateResponse(request, "kikaku/admin/confirm.html", context)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: the log keeps who did what. An account out of use is made inactive."""
        return False


@admin.register(Group)
class GroupAdmin(SuperusersOnlyMixin, PermissionChoicesMixin, DjangoGroupAdmin, ModelAdmin):
    """Admin of staff groups, with unfold's templates."""
