"""Fictional customers for the demo orders, with consistent names and addresses."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Person:
    """A customer with a Japanese address."""

    family_name: str
    given_name: str
    family_name_kana: str  # full-width katakana
    given_name_kana: str
    family_name_latin: str
    given_name_latin: str
    postal_code: str  # 7 digits without hyphen
    prefecture: str
    city: str
    street: str  # town and house number
    building: str  # may be empty
    phone: str  # digits with hyphens, a number that is never assigned
    email: str


_FAMILIES = (
    ("佐藤", "サトウ", "Sato"), ("鈴木", "スズキ", "Suzuki"),
    ("高橋", "タカハシ", "Takahashi"), ("田中", "タナカ", "Tanaka"),
    ("伊藤", "イトウ", "Ito"), ("渡辺", "ワタナベ", "Watanabe"),
    ("山本", "ヤマモト", "Yamamoto"), ("中村", "ナカムラ", "Nakamura"),
    ("小林", "コバヤシ", "Kobayashi"), ("加藤", "カトウ", "Kato"),
    ("吉田", "ヨシダ", "Yoshida"), ("山田", "ヤマダ", "Yamada"),
    ("松本", "マツモト", "Matsumoto"), ("井上", "イノウエ", "Inoue"),
    ("木村", "キムラ", "Kimura"), ("清水", "シミズ", "Shimizu"),
    ("森", "モリ", "Mori"), ("阿部", "アベ", "Abe"),
    ("石川", "イシカワ", "Ishikawa"), ("長谷川", "ハセガワ", "Hasegawa"),
    ("髙木", "タカギ", "Takagi"), ("五十嵐", "イガラシ", "Igarashi"),
    ("西園寺", "サイオンジ", "Saionji"), ("東", "アズマ", "Azuma"),
)  # fmt: skip
_GIVEN = (
    ("陽菜", "ハルナ", "Haruna"), ("蓮", "レン", "Ren"),
    ("美咲", "ミサキ", "Misaki"), ("大輔", "ダイスケ", "Daisuke"),
    ("さくら", "サクラ", "Sakura"), ("健一", "ケンイチ", "Kenichi"),
    ("由美子", "ユミコ", "Yumiko"), ("翔太", "ショウタ", "Shota"),
    ("結衣", "ユイ", "Yui"), ("誠", "マコト", "Makoto"),
    ("千尋", "チヒロ", "Chihiro"), ("和也", "カズヤ", "Kazuya"),
    ("恵子", "ケイコ", "Keiko"), ("拓海", "タクミ", "Takumi"),
    ("彩", "アヤ", "Aya"), ("直樹", "ナオキ", "Naoki"),
    ("真理", "マリ", "Mari"), ("悠", "ユウ", "Yu"),
    ("のぞみ", "ノゾミ", "Nozomi"), ("隆", "タカシ", "Takashi"),
)  # fmt: skip
# Postal code, prefecture, city, town and the area code: published by Japan Post and the telephone numbering
# plan.
_PLACES = (
    ("0600042", "北海道", "札幌市中央区", "大通西", "011"),
    ("9800811", "宮城県", "仙台市青葉区", "一番町", "022"),
    ("3300846", "埼玉県", "さいたま市大宮区", "大門町", "048"),
    ("2600013", "千葉県", "千葉市中央区", "中央", "043"),
    ("1000005", "東京都", "千代田区", "丸の内", "03"),
    ("1500001", "東京都", "渋谷区", "神宮前", "03"),
    ("1540004", "東京都", "世田谷区", "太子堂", "03"),
    ("1800004", "東京都", "武蔵野市", "吉祥寺本町", "0422"),
    ("2310023", "神奈川県", "横浜市中区", "山下町", "045"),
    ("2480006", "神奈川県", "鎌倉市", "小町", "0467"),
    ("9518063", "新潟県", "新潟市中央区", "古町通七番町", "025"),
    ("9200853", "石川県", "金沢市", "本町", "076"),
    ("3800824", "長野県", "長野市", "南石堂町", "026"),
    ("4600008", "愛知県", "名古屋市中区", "栄", "052"),
    ("6008216", "京都府", "京都市下京区", "東塩小路町", "075"),
    ("5300001", "大阪府", "大阪市北区", "梅田", "06"),
    ("6500021", "兵庫県", "神戸市中央区", "三宮町", "078"),
    ("7300011", "広島県", "広島市中区", "基町", "082"),
    ("7600019", "香川県", "高松市", "サンポート", "087"),
    ("8100001", "福岡県", "福岡市中央区", "天神", "092"),
    ("8920842", "鹿児島県", "鹿児島市", "東千石町", "099"),
    ("9000015", "沖縄県", "那覇市", "久茂地", "098"),
)
_HOUSES = ("", "", "", "コーポ見本", "見本ハイツ", "サンプルマンション", "メゾン見本")


def people(n: int, seed: int = 1) -> list[Person]:
    """Return `n` customers, the same for the same seed; e-mail addresses are all different.

    Telephone numbers have the exchange 0000 or 000, which no subscriber has; mail goes to example.com and
    example.jp, which RFC 2606 and JPRS reserve for documentation.

    Raises:
        ValueError: n is negative.
    """
    if n < 0:
        raise ValueError(f"The number of people is zero or more, not {n}.")
    return list(_people(n, seed))


def _people(n: int, seed: int) -> Iterator[Person]:
    """Yield people one by one."""
    random = Random(seed)  # noqa: S311 - fiction, not secrecy
    for number in range(1, n + 1):
        family, given = random.choice(_FAMILIES), random.choice(_GIVEN)
        code, prefecture, city, town, area = random.choice(_PLACES)
        house = random.choice(_HOUSES)
        room = f" {random.randint(1, 9)}0{random.randint(1, 9)}" if house else ""
        exchange = "0" * (6 - len(area))
        phone = (
            f"{area}-{exchange}-{random.randint(0, 9999):04d}"
            if random.random() < 0.4
            else f"090-0000-{random.randint(0, 9999):04d}"
        )
        yield Person(
            family_name=family[0],
            given_name=given[0],
            family_name_kana=family[1],
            given_name_kana=given[1],
            family_name_latin=family[2],
            given_name_latin=given[2],
            postal_code=code,
            prefecture=prefecture,
            city=city,
            street=f"{town}{random.randint(1, 5)}-{random.randint(1, 28)}-{random.randint(1, 15)}",
            building=f"{house}{room}",
            phone=phone,
            email=f"{given[2]}.{family[2]}.{number}@example.{random.choice(('com', 'jp'))}".lower(),
        )
