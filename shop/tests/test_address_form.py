"""The address form, without a database: values are normalised, and what cannot be right is refused."""

import pytest
from django.utils.translation import override
from hypothesis import given
from hypothesis import strategies as st

from shop.address import AddressForm
from shop.forms import normalise_number, to_katakana
from shop.testing import build


@pytest.mark.parametrize(
    ("name", "typed", "kept"),
    [
        ("postal_code", "〒150-0001", "150-0001"),
        ("postal_code", "1500001", "150-0001"),
        ("postal_code", "１５０−０００１", "150-0001"),
        ("phone", "０９０－１２３４－５６７８", "090-1234-5678"),
        ("phone", "+81 90 1234 5678", "090-1234-5678"),
        ("phone", "(03) 1234.5678", "03-1234-5678"),
        ("family_name_kana", "やまだ", "ヤマダ"),
        ("family_name_kana", "ﾔﾏﾀﾞ", "ヤマダ"),
        ("street", "神宮前１ー２ー３", "神宮前1-2-3"),
        ("street", "センター北", "センター北"),
        ("email", "ｈａｎａｋｏ@example.jp", "hanako@example.jp"),
        ("email", "hanako.@docomo.ne.jp", "hanako.@docomo.ne.jp"),
        ("email", "..ha..nako..@t.vodafone.ne.jp", "..ha..nako..@t.vodafone.ne.jp"),
        ("family_name", "ジョン＝スミス", "ジョン＝スミス"),
        ("family_name_kana", "ジョン＝スミス", "ジョン＝スミス"),
        ("family_name_kana", "じょん゠すみす", "ジョン＝スミス"),
        ("phone", "0120-123-456", "0120-123-456"),
        ("phone", "050-1234-5678", "050-1234-5678"),
        ("family_name", "　山田 ", "山田"),
    ],
)
def test_typed_values_are_normalised(name: str, typed: str, kept: str) -> None:
    form = AddressForm(build.TYPED_ADDRESS | {name: typed})
    assert form.is_valid(), form.errors
    assert form.cleaned_data[name] == kept


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("family_name", "http://evil.example/win"),
        ("given_name", "evil.com"),
        ("building", "https://evil.example"),
        ("postal_code", "150000"),
        ("postal_code", "abcdefg"),
        ("phone", "123"),
        ("phone", "1234567890"),
        ("phone", "090-1234-567"),  # mobile numbers have 11 digits
        ("phone", "080-1234-56789"),
        ("phone", "03-1234-56789"),
        ("email", "hanako.@example.jp"),
        ("email", "@docomo.ne.jp"),
        ("email", "ha nako.@docomo.ne.jp"),
        ("family_name_kana", "Yamada"),
        ("prefecture", "Atlantis"),
        ("email", "hanako"),
        ("family_name", "山" * 51),
        ("note", "あ" * 1001),
    ],
)
def test_invalid_values_are_refused(name: str, typed: str) -> None:
    form = AddressForm(build.TYPED_ADDRESS | {name: typed})
    assert not form.is_valid()
    assert list(form.errors) == [name]


@given(st.text(max_size=30))
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise_number(normalise_number(text)) == normalise_number(text)
    assert to_katakana(to_katakana(text)) == to_katakana(text)


@pytest.mark.parametrize(
    ("postal_code", "prefecture"),
    [("150-0001", "大阪府"), ("000-0000", "東京都"), ("１５０－０００１", "大阪府")],
)
def test_a_postal_code_that_does_not_fit_is_asked_about_once_and_then_taken(
    postal_code: str, prefecture: str
) -> None:
    typed = build.TYPED_ADDRESS | {"postal_code": postal_code, "prefecture": prefecture}
    form = AddressForm(typed)
    assert list(form.errors) == ["postal_code"]
    confirmed = AddressForm(typed | {"sure": form.asked_about})
    assert confirmed.is_valid(), confirmed.errors
    assert confirmed.address()["prefecture"] == prefecture
    assert "sure" not in confirmed.address()
    other = AddressForm(typed | {"sure": form.asked_about, "prefecture": "沖縄県"})
    assert list(other.errors) == ["postal_code"]


@pytest.mark.parametrize(
    ("postal_code", "prefecture"),
    [
        ("498-0000", "愛知県"),  # one code, two prefectures
        ("498-0000", "三重県"),
        ("811-5133", "長崎県"),
        ("811-0001", "福岡県"),
        ("907-1801", "沖縄県"),
        ("060-0001", "北海道"),
        ("618-0001", "大阪府"),
        ("618-0001", "京都府"),
    ],
)
def test_a_postal_code_of_the_prefecture_is_not_asked_about(postal_code: str, prefecture: str) -> None:
    form = AddressForm(build.TYPED_ADDRESS | {"postal_code": postal_code, "prefecture": prefecture})
    assert form.is_valid(), form.errors


def test_the_question_names_the_prefecture_of_the_postal_code() -> None:
    typed = build.TYPED_ADDRESS | {"prefecture": "大阪府"}
    with override("ja"):
        text = AddressForm(typed).errors["postal_code"][0]
    assert "東京都" in text and "大阪府" in text
    with override("en"):
        assert "belongs to Tokyo, not to Osaka" in AddressForm(typed).errors["postal_code"][0]
