"""To-dos in the admin: a list of what waits, and a page for each with its acts and its history."""

import logging
from collections.abc import Iterator
from typing import Any

from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.checks import ModelAdminChecks
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from kikaku.admin.columns import format_local_time, link, time_column
from kikaku.admin.editable import EditableAdmin
from kikaku.admin.reauthentication import posted, require_proof
from ledger.sales.seen import digest
from ops.admin.audit import changed_fields
from ops.models import Todo
from ops.todos import acts, words

logger = logging.getLogger(__name__)

CHANGE_TODO = acts.CHANGE_TODO
MAX_HISTORY = 50  # entries shown on a page
auditlog.register(Todo, include_fields=["state", "assignee", "note", "ended_by"])


def seen_of(todo: Todo) -> str:
    """Return a digest of what a form about a to-do is based on."""
    return digest([todo.state, todo.assignee_id, todo.note])


class TodoForm(forms.ModelForm):  # type: ignore[type-arg]
    """Assignee and note; refused if another user has changed them since the page was opened."""

    seen = forms.CharField(widget=forms.HiddenInput, required=False)

    class Meta:
        model = Todo
        fields = ("assignee", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["seen"] = seen_of(self.instance)
        if "assignee" in self.fields:
            choices: Any = self.fields["assignee"]
            choices.queryset = User.objects.filter(is_staff=True, is_active=True).order_by("username")
            widget = choices.widget  # accounts are not made or changed from here
            widget.can_add_related = widget.can_change_related = widget.can_view_related = False
            widget.can_delete_related = False
        if "note" in self.fields:
            self.fields["note"].widget.attrs["rows"] = 4

    def clean(self) -> dict[str, Any] | None:
        """Compare what the page showed with the row, which is locked. Raises `ValidationError`."""
        cleaned = super().clean()
        now_there = {"assignee": self.instance.assignee, "note": self.instance.note}
        is_same = all(self.cleaned_data.get(name) == value for name, value in now_there.items())  # sent twice
        if self.cleaned_data.get("seen") != seen_of(self.instance) and not is_same:
            raise ValidationError(
                _("Someone else has changed this to-do meanwhile. Please look at it once more.")
            )
        return cleaned


class NoteForm(forms.Form):
    """Text about how a to-do was ended."""

    note = forms.CharField(
        label=gettext_lazy("note"), max_length=500, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )

    def __init__(self, data: Any = None, *, needs_note: bool) -> None:
        super().__init__(data)
        self.fields["note"].required = needs_note


class StateFilter(admin.SimpleListFilter):
    """Filter by state; without a choice, what is open."""

    title = gettext_lazy("state")
    parameter_name = "state"
    ALL = "all"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the states that are no default, and all."""
        ended = [(str(value), str(label)) for value, label in Todo.State.choices if value != Todo.State.OPEN]
        return [*ended, (self.ALL, pgettext("to-do", "all"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Return the choices, the default one by its name."""
        first, *others = super().choices(changelist)
        yield {**first, "display": Todo.State.OPEN.label}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the chosen state."""
        if self.value() == self.ALL:
            return queryset
        return queryset.filter(state=self.value() or Todo.State.OPEN)


class AssigneeFilter(admin.SimpleListFilter):
    """Filter: what the user has taken, and what nobody has."""

    title = gettext_lazy("assigned to")
    parameter_name = "assigned"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("me", _("me")), ("none", _("nobody"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the chosen assignee."""
        if self.value() == "me":
            return queryset.filter(assignee=request.user.pk)
        return queryset.filter(assignee__isnull=True) if self.value() == "none" else queryset


@admin.register(Todo)
class TodoAdmin(EditableAdmin):
    """To-dos: rows are made by rules; staff write assignee and note, and end them by acts."""

    checks_class = ModelAdminChecks  # those of unfold look up permissions, before the first migrate
    form = TodoForm
    list_display = (
        "level_badge",
        "what",
        "matter",
        time_column(Todo, "since"),
        "assignee",
        "state_badge",
    )
    list_display_links = ("what",)
    list_filter = (StateFilter, "kind", "level", AssigneeFilter)
    list_select_related = ("assignee",)
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("subject", "note")
    readonly_fields = (
        "what", "matter_page", "to_be_done", "level", "state_name", "since_at", "ended", "history",
    )  # fmt: skip
    fields = (
        "what", "to_be_done", "matter_page", "level", "since_at", "state_name",
        "assignee", "note", "seen", "ended", "history",
    )  # fmt: skip
    actions = None
    actions_detail = ("take", "finish", "approve", "reject")

    class Media:
        css = {"all": ("kikaku/admin.css",)}

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Return the page of a to-do, which shows its history itself."""
        return super().render_change_form(request, {**context, "show_history": False}, *args, **kwargs)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: rules make the rows."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: what was done stays readable."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the to-dos whose matter the user may see; locked for a form that is saved."""
        found = super().get_queryset(request).filter(kind__in=words.visible_kinds(request.user))
        is_saved = request.method == "POST" and not self.is_list_page(request)
        return found.select_for_update() if is_saved and connection.in_atomic_block else found

    def is_list_page(self, request: HttpRequest) -> bool:
        """Return whether a request is for the list, not for one to-do."""
        match = request.resolver_match
        return match is not None and match.url_name == "ops_todo_changelist"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Write the changed fields alone: the state may have changed since the row was read."""
        changed = [name for name in form.changed_data if name in ("assignee", "note")]
        if changed:
            obj.save(update_fields=changed)

    @display(
        description=gettext_lazy("level"),
        ordering="level",
        label={str(Todo.Level.WARNING): "warning", str(Todo.Level.ALARM): "danger"},
    )
    def level_badge(self, row: Todo) -> tuple[str, str]:
        """Return a badge of the level."""
        return str(row.level), row.get_level_display()

    @display(
        description=gettext_lazy("state"),
        ordering="state",
        label={
            Todo.State.OPEN.value: "warning",
            Todo.State.DONE.value: "success",
            Todo.State.APPROVED.value: "success",
            Todo.State.REJECTED.value: "danger",
            Todo.State.GONE.value: "info",
        },
    )
    def state_badge(self, row: Todo) -> tuple[str, str]:
        """Return a badge of the state."""
        return row.state, row.get_state_display()

    @display(description=gettext_lazy("state"))
    def state_name(self, row: Todo) -> str:
        """Return the state in words."""
        return row.get_state_display()

    @display(description=gettext_lazy("what"))
    def what(self, row: Todo) -> str:
        """Return what has happened, in one sentence."""
        return words.sentence(row)

    @display(description=gettext_lazy("what to do"))
    def to_be_done(self, row: Todo) -> str:
        """Return what is to be done about it."""
        return words.advice(row)

    @display(description=gettext_lazy("kind"), ordering="kind")
    def matter(self, row: Todo) -> str:
        """Return the kind, as a link to what it is about."""
        return link(words.page_of(row), row.get_kind_display())

    @display(description=gettext_lazy("about"))
    def matter_page(self, row: Todo) -> str:
        """Return kind and subject, as a link to what it is about."""
        return link(words.page_of(row), str(row))

    @display(description=gettext_lazy("since"))
    def since_at(self, row: Todo) -> str:
        """Return when the fact began, and when it was noticed."""
        return _("%(since)s (noticed %(noticed)s)") % {
            "since": format_local_time(row.since),
            "noticed": format_local_time(row.made_at),
        }

    @display(description=gettext_lazy("ended"))
    def ended(self, row: Todo) -> str:
        """Return when it ended and who ended it."""
        if row.ended_at is None:
            return "–"
        by = _("the system") if row.state == Todo.State.GONE else row.ended_by
        return f"{format_local_time(row.ended_at)} {by}"

    @display(description=gettext_lazy("history"))
    def history(self, row: Todo) -> str:
        """Return what staff have changed, newest first."""
        entries = LogEntry.objects.get_for_object(row).select_related("actor", "content_type")
        lines = [
            (
                format_local_time(entry.timestamp),
                entry.actor.get_username() if entry.actor else _("the system"),
                f"{name}: {before} → {after}",
            )
            for entry in entries.order_by("-timestamp", "-pk")[:MAX_HISTORY]
            for name, before, after in changed_fields(entry)
        ]
        return format_html_join("", "<div>{} {} {}</div>", lines) or "–"

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Return the acts that this to-do has, and that the user may do."""
        todo = self.get_object(request, str(object_id))  # the id comes from the URL: there may be none
        if not isinstance(todo, Todo) or todo.state != Todo.State.OPEN:
            return []
        names = {act.name for act in acts.ACTS[todo.kind] if _may(request, act)}
        if todo.assignee_id is None:
            names.add("take")
        offered = super().get_actions_detail(request, object_id)
        return [one for one in offered if one.action_name.removeprefix("ops_todo_") in names]

    @action(
        description=gettext_lazy("I do it"),
        url_path="take",
        icon="back_hand",
        permissions=[CHANGE_TODO],
    )
    def take(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Assign a to-do to the user, on a post; ask before. Raises `Http404`."""
        todo = self._todo(request, object_id)
        back = reverse("admin:ops_todo_change", args=[todo.pk])
        if request.method != "POST":
            return self._page(request, todo, _("I do it"), _("The others see that you do it."), back=back)
        try:
            acts.take(todo.pk, user_id=int(str(request.user.pk)))
        except acts.AlreadyEnded as ended:
            _tell_ended(request, ended.todo)
        except acts.AlreadyTaken as taken:
            messages.warning(request, _("%(name)s has taken it already.") % {"name": taken.name})
        else:
            messages.success(request, _("It is assigned to you."))
        return HttpResponseRedirect(back)

    @action(
        description=gettext_lazy("Done"),
        url_path="finish",
        icon="task_alt",
        variant=ActionVariant.PRIMARY,
        permissions=[CHANGE_TODO],
    )
    def finish(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the form that asks for a note, or end the to-do. Raises `Http404`."""
        return self._end(request, object_id, "finish")

    @action(
        description=gettext_lazy("Approve"),
        url_path="approve",
        icon="thumb_up",
        variant=ActionVariant.PRIMARY,
        permissions=[CHANGE_TODO],
    )
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the form that asks for a note, or approve. Raises `Http404`."""
        return self._end(request, object_id, "approve")

    @action(
        description=gettext_lazy("Reject"),
        url_path="reject",
        icon="thumb_down",
        variant=ActionVariant.DANGER,
        permissions=[CHANGE_TODO],
    )
    def reject(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the form that asks for the reason, or reject. Raises `Http404`."""
        return self._end(request, object_id, "reject")

    def _todo(self, request: HttpRequest, object_id: str) -> Todo:
        """Return the to-do of an act's address. Raises `PermissionDenied`, `Http404`."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        todo = self.get_object(request, object_id)
        if not isinstance(todo, Todo):
            raise Http404
        return todo

    def _end(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        todo = self._todo(request, object_id)
        act = acts.act_of(todo, name)
        if act is None:
            raise Http404
        if not _may(request, act):
            raise PermissionDenied
        back = reverse("admin:ops_todo_change", args=[todo.pk])
        if act.is_dangerous:
            require_proof(request)
        form = NoteForm(posted(request), needs_note=act.needs_note)
        if todo.state != Todo.State.OPEN:
            _tell_ended(request, todo)
            return HttpResponseRedirect(back)
        if request.method == "POST" and form.is_valid():
            try:
                acts.end(
                    todo.pk,
                    act,
                    note=form.cleaned_data["note"].strip(),
                    actor=request.user.get_username(),
                    now=timezone.now(),
                )
            except acts.AlreadyEnded as ended:
                _tell_ended(request, ended.todo)
                return HttpResponseRedirect(back)
            except acts.ActRefused as refusal:
                form.add_error(None, str(refusal))
            except Exception as error:  # of the action, of any type: rolled back, and shown
                logger.exception("the act %s of the to-do %s failed", act.name, todo.pk)
                form.add_error(
                    None,
                    _("It failed, and nothing was changed: %(error)s")
                    % {"error": f"{type(error).__name__}: {error}"},
                )
            else:
                messages.success(request, _("Ended: %(what)s") % {"what": words.sentence(todo)})
                return HttpResponseRedirect(reverse("admin:ops_todo_changelist"))
        return self._page(request, todo, str(act.button), str(act.effect), back=back, form=form, act=act)

    def _page(
        self,
        request: HttpRequest,
        todo: Todo,
        title: str,
        effect: str,
        *,
        back: str,
        form: NoteForm | None = None,
        act: acts.Act | None = None,
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "todo": todo,
            "what": words.sentence(todo),
            "advice": words.advice(todo),
            "matter": words.page_of(todo),
            "effect": effect,
            "form": form,
            "danger": act is not None and act.is_dangerous,
            "back": back,
        }
        status = 422 if form is not None and form.errors else 200
        return TemplateResponse(request, "ops/todo_act.html", context, status=status)


def _may(request: HttpRequest, act: acts.Act) -> bool:
    """Return whether the user may do an act: with to-dos, and with what its action changes."""
    return request.user.has_perms([CHANGE_TODO, *act.permissions])


def _tell_ended(request: HttpRequest, todo: Todo) -> None:
    """Say who has ended the to-do before."""
    by = _("the system") if todo.state == Todo.State.GONE else todo.ended_by
    messages.warning(
        request,
        _("%(name)s has ended it already (%(state)s, %(at)s); nothing was changed.")
        % {"name": by, "state": todo.get_state_display(), "at": format_local_time(todo.ended_at)},
    )
