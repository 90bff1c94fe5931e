"""The address form, without a database: values are normalised, and what cannot be right is refused."""

import pytest
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
        ("postal_code", "150000"),
        ("postal_code", "abcdefg"),
        ("phone", "123"),
        ("phone", "1234567890"),
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
