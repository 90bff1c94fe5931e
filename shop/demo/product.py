"""Values that describe the demo goods, and the short hand in which the shelves are written."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from .canvas import Drawing

ACTIVE, DRAFT, ARCHIVED = "active", "draft", "archived"


@dataclass(frozen=True)
class Text:
    """A text in both languages."""

    ja: str
    en: str


@dataclass(frozen=True)
class Category:
    """A shelf of the shop, and the room in which the home page shows it."""

    slug: str
    name: Text
    room: Text
    description: Text
    position: int
    keywords: str = ""  # other names, which the search finds


@dataclass(frozen=True)
class Specification:
    """A row of the specification table."""

    name: Text
    value: Text


@dataclass(frozen=True)
class ProductPicture:
    """A picture of the gallery: `drawing.draw(picture.drawing)` gives the SVG."""

    drawing: Drawing
    alt: Text


@dataclass(frozen=True)
class Variant:
    """What can be bought."""

    sku: str
    option: Text  # empty when the product has one variant only
    price: int  # JPY, tax included
    compare_at_price: int | None  # JPY, tax included, above the price
    tax_class: str
    stock: int  # pieces on hand
    kelvin: int | None  # colour temperature
    lumens: int | None  # luminous flux
    picture: int  # index into the product's pictures


@dataclass(frozen=True)
class Product:
    """What one product page shows."""

    slug: str
    category: str  # slug of the category
    status: str  # active, draft or archived
    title: Text
    lead_spec: Text  # the one decisive line
    description: Text
    specifications: tuple[Specification, ...]
    variants: tuple[Variant, ...]
    pictures: tuple[ProductPicture, ...]
    featured: int | None  # place on the home page, from 1
    lumens: int | None  # of the first variant
    kelvin: int | None  # of the first variant
    keywords: str = ""  # readings and other names, which the search finds


@dataclass(frozen=True)
class Option:
    """A variant as the shelves define it; its drawing follows kelvin, finish and size."""

    code: str  # end of the SKU; empty for an only choice
    name: Text
    price: int
    stock: int
    kelvin: int | None = None
    lumens: int | None = None
    compare_at: int | None = None
    finish: str | None = None
    width: int | None = None  # mm, in the picture
    height: int | None = None
    count: int | None = None


# The usual codes of Japanese makers and the names of JIS C 8152-2 (L, WW, N, D).
LIGHTS = {
    "K": (2200, Text("キャンドル色 2,200 K", "Candle light 2,200 K")),
    "L": (2700, Text("電球色 2,700 K", "Warm white 2,700 K")),
    "WW": (3500, Text("温白色 3,500 K", "Soft white 3,500 K")),
    "W": (4000, Text("白色 4,000 K", "White 4,000 K")),
    "N": (5000, Text("昼白色 5,000 K", "Neutral white 5,000 K")),
    "D": (6500, Text("昼光色 6,500 K", "Daylight 6,500 K")),
}

ROW_NAMES = {
    "rooms": Text("適用畳数", "Room size"),
    "ra": Text("平均演色評価数", "Colour rendering index"),
    "dimming": Text("調光", "Dimming"),
    "beam": Text("照射角", "Beam angle"),
    "base": Text("口金", "Base"),
    "replaces": Text("置き換えの目安", "Replaces"),
    "leds": Text("LED の密度", "LED density"),
    "cut": Text("切断単位", "Cut every"),
    "supply": Text("電源", "Power supply"),
    "output": Text("出力", "Output"),
    "capacity": Text("容量", "Capacity"),
    "range": Text("検知・到達範囲", "Range"),
    "run": Text("連続点灯時間", "Running time"),
    "protection": Text("保護等級", "Protection"),
    "mount": Text("取り付け", "Mounting"),
    "cord": Text("コード", "Cord"),
    "size": Text("寸法", "Size"),
    "weight": Text("質量", "Weight"),
    "material": Text("材質", "Material"),
    "life": Text("光源寿命", "Life of the light source"),
    "content": Text("内容量", "Contents"),
    "ingredients": Text("原材料名", "Ingredients"),
    "allergens": Text("アレルゲン（28 品目中）", "Allergens (of the 28 labelled in Japan)"),
    "best_before": Text("賞味期限", "Best before"),
    "storage": Text("保存方法", "Storage"),
    "origin": Text("製造国", "Made in"),
    "warranty": Text("保証", "Warranty"),
    "scope": Text("付属品", "Included"),
}

# The scene of a picture, for its alternative text.
SCENES = {
    "ceiling-disc": Text("天井に丸い光を広げているところ", "with its halo on the ceiling"),
    "ceiling-square": Text("真下から見上げたところ", "seen from straight below"),
    "ceiling-ring": Text("輪の光が天井を照らしているところ", "washing the ceiling with a ring of light"),
    "ceiling-drum": Text(
        "布のシェードから上下に光がもれているところ", "with light above and below its fabric shade"
    ),
    "ceiling-spots": Text("壁の額に光を当てているところ", "lighting a framed print on the wall"),
    "ceiling-lattice": Text("格子越しに和紙が光っているところ", "with paper glowing behind the lattice"),
    "desk-arm": Text("開いた本を照らしているところ", "lighting an open book"),
    "desk-bar": Text("机の上を均一に照らしているところ", "lighting a desk evenly"),
    "desk-dome": Text(
        "ドーム型のシェードがテーブルを照らしているところ", "lighting the table under its dome"
    ),
    "desk-clamp": Text(
        "机の端からキーボードを照らしているところ", "lighting a keyboard from the edge of the desk"
    ),
    "desk-lantern": Text("テーブルの上に置いたところ", "standing on a table"),
    "desk-paper": Text("和紙の球が灯っているところ", "glowing through its paper globe"),
    "tape-shelf": Text("棚板の下を照らしているところ", "under the edges of two shelves"),
    "tape-reel": Text("リールから引き出して点灯したところ", "lit, with the first length unrolled"),
    "tape-mirror": Text("丸い鏡の裏から壁を照らしているところ", "behind a round mirror"),
    "tape-cabinet": Text("吊戸棚の下で手元を照らしているところ", "under kitchen cabinets"),
    "tape-stair": Text("階段の踏み板の下を照らしているところ", "under the treads of a stair"),
    "tape-cove": Text(
        "カーテンボックスから天井とカーテンを照らしているところ", "washing a curtain from its box"
    ),
    "panel-grid": Text("システム天井に並べたところ", "in a grid ceiling over desks"),
    "panel-linear": Text("食卓の上に吊り下げたところ", "hanging over a dining table"),
    "panel-base": Text("作業室の天井に取り付けたところ", "on the ceiling of a workroom"),
    "panel-downlights": Text("壁に光の弧を描いているところ", "drawing scallops of light on the wall"),
    "panel-flat": Text("壁に取り付けて点灯したところ", "mounted flat and lit"),
    "bulb-pear": Text("コードに吊り下げて点灯したところ", "hanging lit from a cord"),
    "bulb-small": Text("小さなソケットで点灯したところ", "lit in a small holder"),
    "bulb-filament": Text(
        "透明なガラスの中でフィラメントが光っているところ", "with its filaments glowing in clear glass"
    ),
    "bulb-globe": Text("大きな球形が灯っているところ", "glowing as a large globe"),
    "bulb-reflector": Text("真下に光を集めているところ", "throwing its cone straight down"),
    "bulb-candle": Text("燭台型の器具で点灯したところ", "lit on a chandelier"),
    "bulb-tube": Text("点灯した直管", "lit"),
    "bulb-puck": Text("正面と側面", "from the front and the side"),
    "power-driver": Text("本体と配線", "with its leads"),
    "power-dimmer": Text("壁に取り付けたところ", "on the wall"),
    "power-remote": Text("本体", "standing on a table"),
    "power-sensor": Text("天井の下で人を待つところ", "above the field that it watches"),
    "power-socket": Text("布コードとソケット", "with its textile cord"),
    "power-station": Text("テーブルの上に置いたところ", "on a table"),
    "emergency-bottles": Text("光を通すペットボトル", "in clear bottles"),
    "emergency-pouch": Text("袋と、茶碗によそったごはん", "in pouches, with a bowl served"),
    "emergency-can": Text("缶と、切り分けたパン", "in cans, with a slice cut"),
    "emergency-box": Text("箱と個包装", "box and single packs"),
    "emergency-torch": Text("机に置いて照らしたところ", "throwing its beam"),
}

_SHINING = ("ceiling-", "desk-", "tape-", "panel-", "bulb-", "emergency-torch", "power-station")


def light_options(
    codes: str, price: int, lumens: Iterable[int], stock: Iterable[int], compare_at: int | None = None
) -> tuple[Option, ...]:
    """Return one option for each code of LIGHTS (separated by spaces), all at one price."""
    parts = zip(codes.split(), lumens, stock, strict=True)
    return tuple(
        Option(code, LIGHTS[code][1], price, left, LIGHTS[code][0], lm, compare_at)
        for code, lm, left in parts
    )


def rows(**values: str | Text) -> tuple[Specification, ...]:
    """Return specification rows by the keys of ROW_NAMES; a plain string is used for both languages."""
    return tuple(
        Specification(ROW_NAMES[key], value if isinstance(value, Text) else Text(value, value))
        for key, value in values.items()
    )


def _light_rows(options: tuple[Option, ...], watts: float | None) -> tuple[Specification, ...]:
    """Return the rows of flux, colour temperature, power and efficacy that apply."""
    result = []
    flux = sorted({option.lumens for option in options if option.lumens})
    kelvin = sorted({option.kelvin for option in options if option.kelvin})
    if flux:
        shown = f"{flux[0]:,} lm" if len(flux) == 1 else f"{flux[0]:,}–{flux[-1]:,} lm"
        result.append(Specification(Text("全光束", "Luminous flux"), Text(shown, shown)))
    if kelvin:
        shown = " / ".join(f"{k:,} K" for k in kelvin)
        result.append(Specification(Text("相関色温度", "Colour temperature"), Text(shown, shown)))
    if watts:
        result.append(
            Specification(Text("消費電力", "Power consumption"), Text(f"{watts:g} W", f"{watts:g} W"))
        )
        if flux and len({option.width for option in options}) == 1:
            best = f"{flux[-1] / watts:.1f} lm/W"
            result.append(
                Specification(Text("固有エネルギー消費効率", "Luminous efficacy"), Text(best, best))
            )
    return tuple(result)


def _lead(lead: Text, options: tuple[Option, ...]) -> Text:
    """Return the decisive line; where the variants differ in flux it says that it names the greatest."""
    fluxes = {option.lumens for option in options if option.lumens}
    greatest = f"{max(fluxes, default=0):,}"
    if len(fluxes) < 2 or "最大" in lead.ja:
        return lead
    return Text(
        re.sub(rf"(?<![\d,]){greatest}lm(?!/)", f"最大{greatest}lm", lead.ja),
        re.sub(rf"(?<![\d,]){greatest} lm(?!/)", f"up to {greatest} lm", lead.en),
    )


def _alt(title: Text, drawing: Drawing, kelvin: int | None) -> Text:
    """Return the alternative text of a picture."""
    if drawing.view == "dimensions":
        return Text(f"{title.ja}の寸法図（単位 mm）", f"{title.en}: dimension drawing in mm")
    scene = SCENES[drawing.subject]
    light = next((name for value, name in LIGHTS.values() if value == kelvin), None)
    if light is None:
        ja, en = f"{title.ja}：{scene.ja}", f"{title.en}, {scene.en}"
    else:
        ja = f"{title.ja}（{light.ja}）：{scene.ja}"
        en = f"{title.en}, {light.en[0].lower()}{light.en[1:]}, {scene.en}"
    if drawing.view == "evening":
        return Text(f"{ja}、夜の部屋で", f"{en}, in a dark room")
    if drawing.view == "detail":
        return Text(f"{title.ja}の細部", f"{title.en}: a detail")
    return Text(ja, en)


def product(
    *,
    category: str,
    slug: str,
    sku: str,
    title: Text,
    lead: Text,
    text: Text,
    drawing: Drawing,
    options: tuple[Option, ...],
    specifications: tuple[Specification, ...],
    watts: float | None = None,
    tax_class: str = "standard",
    status: str = ACTIVE,
    featured: int | None = None,
    views: str = "evening dimensions",
    keywords: str = "",
) -> Product:
    """Return a product with its pictures: one for each look of a variant, then `views` of the first.

    `watts` is the power consumption in W; the efficacy of the brightest variant is derived from it.
    """
    looks: list[Drawing] = []
    lights: list[int | None] = []
    variants = []
    for option in options:
        look = replace(
            drawing,
            kelvin=option.kelvin or drawing.kelvin,
            finish=option.finish or drawing.finish,
            width=option.width or drawing.width,
            height=option.height or drawing.height,
            count=option.count or drawing.count,
        )
        if look not in looks:
            looks.append(look)
            lights.append(option.kelvin)
        variants.append(
            Variant(
                sku=f"{sku}-{option.code}" if option.code else sku,
                option=option.name,
                price=option.price,
                compare_at_price=option.compare_at,
                tax_class=tax_class,
                stock=option.stock,
                kelvin=option.kelvin,
                lumens=option.lumens,
                picture=looks.index(look),
            )
        )
    for view in views.split():
        if view != "evening" or drawing.subject.startswith(_SHINING):
            looks.append(replace(looks[0], view=view))
            lights.append(lights[0])
    return Product(
        slug=slug,
        category=category,
        status=status,
        title=title,
        lead_spec=_lead(lead, options),
        description=text,
        specifications=_light_rows(options, watts) + specifications,
        variants=tuple(variants),
        pictures=tuple(ProductPicture(d, _alt(title, d, k)) for d, k in zip(looks, lights, strict=True)),
        featured=featured,
        lumens=options[0].lumens,
        kelvin=options[0].kelvin,
        keywords=keywords,
    )
