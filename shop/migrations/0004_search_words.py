"""The first words of one meaning, and the text that the search reads of each product."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from shop.search_index import refresh

SYNONYMS = (
    "照明 ライト ランプ 灯り あかり しょうめい",
    "LED エルイーディー",
    "電球 でんきゅう 豆電球",
    "電球色 2700K 暖色 だんしょく",
    "温白色 3500K",
    "白色 4000K",
    "昼白色 5000K",
    "昼光色 6500K",
    "25形 25W 25W形 25W相当",
    "40形 40W 40W形 40W相当",
    "60形 60W 60W形 60W相当",
    "80形 80W 80W形 80W相当",
    "100形 100W 100W形 100W相当",
    "シーリング シーリングライト 天井照明 天井灯",
    "デスクライト デスクスタンド デスクランプ 電気スタンド 卓上ライト 学習机 スタンドライト",
    "テープライト LEDテープ テープ リボンライト",
    "スポット スポットライト",
    "ダウンライト 埋込照明 埋め込み",
    "ペンダント ペンダントライト 吊り下げ 吊下げ つり下げ",
    "間接照明 間接光",
    "蛍光灯 直管 けいこうとう",
    "フィラメント エジソン エジソンバルブ レトロ電球",
    "調光 明るさ調節 ちょうこう",
    "調光器 調光スイッチ ディマー ちょうこうき",
    "人感センサー センサーライト 人感 モーションセンサー",
    "リモコン リモートコントローラー",
    "電源 アダプター トランス ドライバー でんげん",
    "ポータブル電源 蓄電池 バッテリー モバイル電源",
    "充電式 充電 コードレス",
    "ランタン 行灯 あんどん",
    "懐中電灯 手回し充電ライト フラッシュライト トーチ",
    "非常食 保存食 備蓄 防災食 アルファ米 缶入りパン ビスケット",
    "保存水 備蓄水 飲料水",
    "防水 防湿 防滴 防雨",
    "真鍮 真鍮色 ゴールド 金色 ブラス しんちゅう",
    "黒 ブラック",
    "白 ホワイト",
    "灰 グレー",
    "紺 ネイビー",
    "銅 カッパー",
    "木目 木枠 木製 木調 ウッド",
    "和紙 わし",
    "和室 わしつ 和風",
    "洋室 ようしつ",
    "リビング 居間",
    "ダイニング 食卓 食堂",
    "キッチン 台所 だいどころ",
    "寝室 ベッドルーム 枕元",
    "子ども部屋 子供部屋 こども部屋",
    "洗面所 洗面台 洗面",
    "玄関 エントランス げんかん",
    "階段 かいだん",
    "オフィス 事務所 仕事場 会議室",
    "店舗 店",
)


def seed(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Write the synonyms that a shop for lights begins with; staff change them."""
    synonym = apps.get_model("shop", "SearchSynonym")
    synonym.objects.bulk_create(synonym(words=words) for words in SYNONYMS)


def fill(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Write the text of the products that exist."""
    if apps.get_model("shop", "Product").objects.exists():
        refresh(registry=apps)


class Migration(migrations.Migration):
    dependencies = [("shop", "0003_search")]

    operations = [
        migrations.RunPython(seed, migrations.RunPython.noop),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
