"""Content pages of the demo shop: sample texts of a fictional seller, to be replaced by the merchant.

The legal pages list what the law asks for: 特定商取引法 第 11 条 (tokushoho), 個人情報保護法 第 21・27・32 条 (privacy).
Only h2, p, ul, ol, li, dl, dt, dd, table, tr, th, td, strong and a occur.
"""

from dataclasses import dataclass

from ledger.models.tax import FICTIONAL_NUMBER

from .product import Text


@dataclass(frozen=True)
class Page:
    """A content page; the body is HTML."""

    slug: str
    title: Text
    body: Text


_SAMPLE = Text(
    "<p><strong>これは見本の文章です。</strong>事業者名・住所・電話番号は架空のものです。公開の前に、実際の内容に書き換えてください。</p>",
    "<p><strong>This is a sample text.</strong> Seller, address and telephone number are fictional. Replace them before going public.</p>",
)


def _table(*rows: tuple[str, str]) -> str:
    """Return a table with a heading in each row."""
    cells = "".join(f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in rows)
    return f"<table>{cells}</table>"


def _questions(*pairs: tuple[str, str]) -> str:
    """Return questions as headings with their answers."""
    return "".join(f"<h2>{question}</h2><p>{answer}</p>" for question, answer in pairs)


def _page(slug: str, title: Text, ja: str, en: str) -> Page:
    """Return a page that begins with the note that it is a sample."""
    return Page(slug, title, Text(_SAMPLE.ja + ja, _SAMPLE.en + en))


PAGES: tuple[Page, ...] = (
    _page(
        "tokushoho",
        Text("特定商取引法に基づく表記", "Legal notice (Specified Commercial Transactions Act)"),
        _table(
            ("販売業者", "{{販売業者}}"),
            ("運営責任者", "見本 太郎"),
            ("所在地", "{{所在地}}"),
            ("電話番号", "{{電話番号}}"),
            ("メールアドレス", "shop@example.jp"),
            ("適格請求書発行事業者登録番号", f"{FICTIONAL_NUMBER}（見本・架空）"),
            (
                "販売価格",
                "各商品ページに、消費税を含む総額で表示しています。飲料・食品には軽減税率 8%、その他の商品と送料には 10% が適用されます。",
            ),
            (
                "商品代金以外に必要な料金",
                "送料：{{送料}}お客様のご都合による返品の送料は、お客様のご負担です。サイトの閲覧にかかる通信料は、お客様のご負担です。",
            ),
            (
                "支払方法",
                "クレジットカード（Visa、Mastercard、JCB、American Express、Diners Club）、コンビニ払い（ファミリーマート、ローソン、ミニストップ、セイコーマート。合計 120 円以上 300,000 円以下のご注文）",
            ),
            (
                "支払時期",
                "クレジットカードはご注文の確定時に決済されます。実際の引き落とし日は、カード会社の規約によります。コンビニ払いは、お手続きの 3 日後の 23 時 59 分までに店頭でお支払いください。",
            ),
            (
                "商品の引渡時期",
                "{{発送}}{{お届け}}",
            ),
            (
                "返品・交換",
                "{{返品条件}}",
            ),
            (
                "申込みの撤回",
                "{{キャンセル条件}}",
            ),
            (
                "申込みの有効期限",
                "決済の画面は、表示から 35 分で期限が切れます。コンビニ払いの期限は、お手続きの 3 日後の 23 時 59 分です。期限までにお支払いがない場合、ご注文は自動的にキャンセルされ、請求はありません。",
            ),
            ("販売数量の制限", "在庫数を上限とします。在庫の状況は商品ページでご確認いただけます。"),
        ),
        _table(
            ("Seller", "{{販売業者}}"),
            ("Responsible person", "Taro Mihon"),
            ("Address", "{{所在地}}"),
            ("Telephone", "{{電話番号}}"),
            ("E-mail", "shop@example.jp"),
            ("Qualified invoice issuer number", f"{FICTIONAL_NUMBER} (sample, fictional)"),
            (
                "Prices",
                "Shown on each product page including consumption tax. Drinks and food carry the reduced rate of 8%, all other goods and shipping 10%.",
            ),
            (
                "Further charges",
                "Shipping: {{送料}} The customer bears the cost of sending back goods that are returned for convenience, and the cost of the connection to this site.",
            ),
            (
                "Means of payment",
                "Credit card (Visa, Mastercard, JCB, American Express, Diners Club); cash at a convenience store (FamilyMart, Lawson, Ministop, Seicomart) for orders from ¥120 to ¥300,000.",
            ),
            (
                "Time of payment",
                "The card is charged when the order is placed. The date of the debit follows the card company’s terms. At a convenience store: until 23:59 JST of the third day after choosing it.",
            ),
            (
                "Delivery",
                "{{発送}} {{お届け}}",
            ),
            (
                "Returns and exchange",
                "{{返品条件}}",
            ),
            (
                "Cancellation",
                "{{キャンセル条件}}",
            ),
            (
                "Validity of the application",
                "The payment page expires 35 minutes after it is shown; the payment codes of a convenience store on the third day at 23:59 JST. After that no order is made and nothing is charged.",
            ),
            ("Limits on quantity", "Up to the stock at hand, shown on the product page."),
        ),
    ),
    _page(
        "privacy",
        Text("プライバシーポリシー", "Privacy policy"),
        "<p>当店は、お客様の個人情報を個人情報の保護に関する法律に従って取り扱います。</p>"
        "<h2>取得する情報</h2><ul><li>ご注文時：氏名、フリガナ、住所、電話番号、メールアドレス、ご注文の内容</li>"
        "<li>お問い合わせ時：氏名、メールアドレス、お問い合わせの内容</li><li>閲覧時：アクセスの記録（日時、IP アドレス、ブラウザーの種類）</li></ul>"
        "<p>クレジットカードの番号は、決済会社 Stripe の画面で直接入力され、当店は取得も保存もしません。</p>"
        "<h2>利用の目的</h2><ul><li>商品の発送、代金の決済、返品・返金の手続き</li><li>ご注文に関する連絡と、お問い合わせへの回答</li>"
        "<li>法令が定める帳簿・書類の保存</li><li>不正な注文の防止と、サイトの安全の維持</li></ul>"
        "<h2>第三者への提供と委託</h2><p>法令に基づく場合を除き、ご本人の同意なく第三者に提供しません。発送を宅配会社に、決済を Stripe に委託し、業務に必要な範囲の情報を渡します。これらの委託先には、国外でデータを扱うものが含まれます。</p>"
        "<h2>Cookie</h2><p>カートの中身、ご注文の手続き、お届け日の表示（都道府県と、離島の場合はその地域のみ）のためだけに使います。広告や行動の追跡には使いません。</p>"
        "<h2>保存期間</h2><p>取引の記録は、税法に従い最長 10 年間保存します。お問い合わせの記録は、対応の終了から 1 年で消去します。</p>"
        "<h2>開示・訂正・削除の請求</h2><p>ご本人からの請求には、本人確認のうえ遅滞なく応じます。窓口：shop@example.jp（個人情報保護管理者 見本 太郎）</p>"
        "<h2>安全管理</h2><p>通信を暗号化し、個人情報を取り扱う者とその権限を限定しています。</p>",
        "<p>We handle personal data under Japan’s Act on the Protection of Personal Information.</p>"
        "<h2>What we collect</h2><ul><li>With an order: name, reading, address, telephone, e-mail, what was ordered</li>"
        "<li>With an inquiry: name, e-mail, what was asked</li><li>While browsing: access records (time, IP address, kind of browser)</li></ul>"
        "<p>Card numbers are typed on the page of Stripe, our payment company. We neither receive nor keep them.</p>"
        "<h2>What for</h2><ul><li>To ship goods, take payment, and handle returns and refunds</li><li>To write about the order and to answer inquiries</li>"
        "<li>To keep the books and documents that the law asks for</li><li>To prevent fraud and keep the site safe</li></ul>"
        "<h2>Others who receive data</h2><p>Nobody without your consent, except where the law demands it. Carriers ship and Stripe takes payments on our behalf; they receive what the task needs. Some of them process data outside Japan.</p>"
        "<h2>Cookies</h2><p>Only for the cart, the checkout and the delivery day (your prefecture, or your islands); none for advertising or tracking.</p>"
        "<h2>How long</h2><p>Records of sales are kept for up to ten years under tax law. Inquiries are erased one year after they are settled.</p>"
        "<h2>Access, correction, deletion</h2><p>We answer requests without delay once we know who asks: shop@example.jp (data protection officer: Taro Mihon).</p>"
        "<h2>Security</h2><p>Connections are encrypted; few people may see personal data.</p>",
    ),
    _page(
        "terms",
        Text("利用規約", "Terms of use"),
        "<h2>第1条（適用）</h2><p>本規約は、当店のサイトでの商品の購入に適用されます。ご注文をもって、本規約に同意したものとします。</p>"
        "<h2>第2条（契約の成立）</h2><p>売買契約は、お客様が注文を確定し、決済が完了した時に成立します。決済が完了しない注文は、期限の経過により効力を失います。</p>"
        "<h2>第3条（価格と税）</h2><p>価格は消費税を含む総額です。明らかな誤りのある価格で表示していた場合、当店は発送前に限り契約を解除し、代金の全額を返金することがあります。</p>"
        "<h2>第4条（引渡しと所有権）</h2><p>商品は、ご指定の住所への配達をもって引き渡されたものとし、所有権はその時に移ります。</p>"
        "<h2>第5条（返品・返金）</h2><p>返品と返金は、「返品・交換について」のとおりとします。</p>"
        "<h2>第6条（禁止事項）</h2><ul><li>虚偽の情報による注文</li><li>サイトの運営を妨げる行為</li><li>法令に反する行為</li></ul>"
        "<h2>第7条（責任の範囲）</h2><p>当店の軽過失（重大な過失を除く過失をいいます）による債務不履行または不法行為によってお客様に損害が生じた場合、当店は、その注文の商品の代金を上限として賠償します。当店に故意または重大な過失がある場合、生命または身体に損害が生じた場合、および製造物責任法による責任には、この上限を適用しません。</p>"
        "<h2>第8条（規約の変更）</h2><p>規約を変更するときは、変更の内容と効力発生日を、あらかじめサイトでお知らせします。</p>"
        "<h2>第9条（準拠法と裁判所）</h2><p>日本法を準拠法とし、東京地方裁判所を第一審の合意管轄裁判所とします。</p>",
        "<h2>1. Scope</h2><p>These terms apply to purchases on this site. By ordering, the customer agrees to them.</p>"
        "<h2>2. When a contract is made</h2><p>The contract of sale is made when the customer has placed the order and the payment is complete. An order that is not paid lapses with its time limit.</p>"
        "<h2>3. Prices and tax</h2><p>Prices include consumption tax. Where a price was shown in obvious error, we may rescind the contract before shipping and refund everything paid.</p>"
        "<h2>4. Delivery and title</h2><p>Goods are handed over when they are delivered to the address given; title passes at that time.</p>"
        "<h2>5. Returns and refunds</h2><p>As the page “Returns and exchange” says.</p>"
        "<h2>6. What is not allowed</h2><ul><li>Orders with false information</li><li>Disturbing the operation of the site</li><li>Acts against the law</li></ul>"
        "<h2>7. Liability</h2><p>For damage that we cause by slight negligence (negligence that is not gross) our liability is limited to the price of the goods of the order. The limit applies neither to intent or gross negligence, nor to harm to life or body, nor to liability under the Product Liability Act.</p>"
        "<h2>8. Changes</h2><p>Changes are announced on the site before the day on which they take effect.</p>"
        "<h2>9. Law and court</h2><p>Japanese law applies; the Tokyo District Court is the agreed court of first instance. The Japanese text prevails.</p>",
    ),
    _page(
        "returns",
        Text("返品・交換について", "Returns and exchange"),
        "<p>{{返品条件}}</p>"
        "<p>ご連絡先：shop@example.jp または {{電話番号}}。注文番号をお知らせください。</p>"
        "<h2>未使用の商品とは</h2><p>箱を開けて外観を確かめただけの商品は、未使用として扱います。箱と付属品をそろえてお送りください。取り付けて点灯した商品、切断したテープライトは、使用済みとなります。</p>"
        "<h2>期限を過ぎた不良品</h2><p>期限を過ぎたあとの故障には、商品ごとの製品保証が適用されます。</p>"
        "<h2>返金の方法と時期</h2><p>商品の到着を確認してから 3 営業日以内に、お支払いに使われたカードへ返金します。明細への反映は、カード会社により 5〜10 日かかります。コンビニ払いの場合は、決済会社 Stripe からのメールで振込先の口座を伺い、銀行振込で返金します。一部の商品だけの返品もできます。</p>"
        "<h2>手順</h2><ol><li>ご連絡をいただくと、返送先をお知らせします。</li><li>商品を元の箱に入れてお送りください。</li><li>当店で確認し、返金または交換品の発送をメールでお知らせします。</li></ol>",
        "<p>{{返品条件}}</p>"
        "<p>Write to shop@example.jp or call {{電話番号}}, and tell us the order number.</p>"
        "<h2>What unused means</h2><p>You may open the box and look at the goods. Please send them back complete, in their box. Goods that were mounted and lit, and tape that was cut, count as used.</p>"
        "<h2>Faults that show later</h2><p>After that time the warranty of the product covers faults.</p>"
        "<h2>How and when the refund comes</h2><p>Within three business days of the goods’ arrival, to the card that paid. It shows on the statement after 5 to 10 days, as the card company goes. If you paid at a convenience store, our payment company Stripe asks you by e-mail for a bank account and the refund goes there. Single items of an order may be returned.</p>"
        "<h2>Step by step</h2><ol><li>Write to us; we answer with the address.</li><li>Send the goods in their box.</li><li>We check them and tell you by e-mail of the refund or the exchange.</li></ol>",
    ),
    _page(
        "shipping",
        Text("配送について", "Shipping"),
        _table(
            ("送料", "{{送料}}"),
            ("発送", "{{発送}}"),
            ("配送会社", "ヤマト運輸または佐川急便。発送時に追跡番号をメールでお知らせします。"),
            ("お届け先", "日本国内"),
        )
        + "<h2>お届け日数の目安</h2>{{お届け日数表}}<p>天候や交通の状況により、遅れることがあります。ご注文の確認画面とメールで、ご住所へのお届け予定日をお知らせします。</p>"
        "<h2>分けてお届けするとき</h2><p>一部の商品を先に発送することがあります。送料は注文ごとに一度だけです。</p>"
        "<h2>お受け取りになれなかったとき</h2><p>不在票の案内に従って再配達をご依頼ください。保管期限を過ぎて当店に戻った場合は、ご連絡のうえ再発送または返金します。</p>"
        "<h2>直管ランプと大型の器具</h2><p>破損を防ぐため、専用の箱でお送りします。到着時に破損がないかご確認ください。</p>",
        _table(
            ("Cost", "{{送料}}"),
            ("Dispatch", "{{発送}}"),
            ("Carrier", "Yamato or Sagawa. The tracking number comes by e-mail."),
            ("Where to", "Addresses in Japan"),
        )
        + "<h2>When it arrives</h2>{{お届け日数表}}<p>Weather and traffic may delay a parcel. The confirmation of your order and our mails name the day expected at your address.</p>"
        "<h2>In several parcels</h2><p>Some goods may be sent ahead. Shipping is charged once for an order.</p>"
        "<h2>If nobody was in</h2><p>Please arrange a second delivery as the card in the letter box says. If a parcel comes back to us, we write to you and send it again or refund it.</p>"
        "<h2>Tubes and large fittings</h2><p>They travel in boxes of their own. Please check them for damage on arrival.</p>",
    ),
    _page(
        "faq",
        Text("よくある質問", "Questions and answers"),
        _questions(
            (
                "色温度（2,700 K など）は何を表しますか",
                "光の色です。2,700 K は夕方のような電球色、5,000 K は昼の光に近い昼白色、6,500 K は青みのある昼光色です。くつろぐ部屋には電球色、作業には昼白色が向いています。",
            ),
            (
                "畳数はどう選べばよいですか",
                "部屋の畳数と同じか、一つ大きいものをお選びください。天井が高い部屋や壁の色が濃い部屋では、一つ大きいものをおすすめします。",
            ),
            (
                "取り付けに工事は必要ですか",
                "引掛シーリング用の器具は工具なしで取り付けられます。商品ページの「取り付け」に電気工事士と書かれたものは、資格のある方に依頼してください。",
            ),
            (
                "今お使いの調光器で使えますか",
                "「調光器対応」と書かれた電球だけがお使いいただけます。対応しない電球をつなぐと、ちらつきや故障の原因になります。",
            ),
            (
                "領収書や請求書は発行してもらえますか",
                "適格請求書に対応しています。必要な方は、注文番号と宛名を添えてお問い合わせください。",
            ),
            (
                "注文したあとに変更・キャンセルできますか",
                "発送の前であればキャンセルできます。数量や届け先の変更は、一度キャンセルのうえ、改めてご注文ください。",
            ),
            (
                "価格に※や 8% と書かれているのはなぜですか",
                "飲料と食品には軽減税率 8% が適用されます。表示価格はどれも税込です。",
            ),
        ),
        _questions(
            (
                "What does the colour temperature (2,700 K and so on) mean?",
                "The colour of the light. 2,700 K is the warm white of the evening, 5,000 K is close to noon, 6,500 K has a touch of blue. Warm white suits rest, neutral white suits work.",
            ),
            (
                "Which room size should I choose?",
                "That of the room, or one step more. For high ceilings and dark walls we recommend one step more.",
            ),
            (
                "Do I need an electrician?",
                "Not for fittings that go into a Japanese ceiling socket. Where “Mounting” on the product page names a licensed electrician, please engage one.",
            ),
            ("Do the bulbs work on my dimmer?", "Only those marked as dimmable. Others may flicker or fail."),
            (
                "Can I have a receipt or an invoice?",
                "We issue qualified invoices. If you need one, please write with the order number and the name it should bear.",
            ),
            (
                "Can I change or cancel an order?",
                "It can be cancelled until it is shipped. To change quantity or address, please cancel and order anew.",
            ),
            (
                "Why do some prices say ※ or 8%?",
                "Drinks and food carry the reduced tax rate of 8%. All prices include tax.",
            ),
        ),
    ),
)
