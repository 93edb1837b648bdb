"""What the quickstart's texts are about: the domains that its base learns, and museums, which it never sees.

A slot lists its values and the wordings for them, the usual one first. The form of a wording says where it
stands, with `~` for the noun: "cheap ~", "~ in {}", "it has a pool" (predicate), "entry is free" (clause).
"""

from quickstart_grammar import Domain

SEEN = (
    Domain(
        noun="hotel / place to stay",
        name="The <colour> <thing> / <place> Lodge / Hotel <forename> / The <thing>",
        slots={
            "stars": {"two / three / four / five": "{} - star ~ / it has {} stars"},
            "area": {
                "old town / city centre / north": "~ in the {} / ~ located in the {} / it stands in the {}",
                "airport / museum / harbour": "~ near the {} / ~ close to the {} / it is close to the {}",
            },
            "price": {
                "cheap / expensive": "{} ~ / it is {}",
                "<tens> euros": "it charges {} a night / a night costs {}",
            },
            "pool": {
                "yes": "~ with a pool / it has a pool / there is a pool",
                "no": "it has no pool / there is no pool",
            },
            "breakfast": {
                "free": "it serves free breakfast / breakfast is free / guests get free breakfast",
                "extra": "it charges extra for breakfast / breakfast costs extra",
            },
        },
    ),
    Domain(
        noun="film / movie",
        name="<title>",
        slots={
            "genre": {"comedy / horror / crime / romantic / war": "{} ~"},
            "director": {"<person>": "~ by {} / ~ directed by {} / it was directed by {}"},
            "star": {"<person>": "~ with {} / ~ starring {} / it stars {} / {} plays the main part"},
            "released": {"<recent>": "~ from {} / it came out in {} / it was released in {}"},
            "children": {
                "yes": "it is suitable for children / children can watch it",
                "no": "it is not suitable for children / it is for adults only",
            },
        },
    ),
    Domain(
        noun="train / service",
        name="The <place> Express / The <colour> <thing> / <place> Flyer",
        slots={
            "speed": {"fast / slow": "{} ~ / it is {}"},
            "from": {"<place>": "~ from {} / it leaves from {} / it starts in {}"},
            "to": {"<place>": "~ to {} / it goes to {} / it runs to {}"},
            "departs": {"every day / every hour / every <day>": "it runs {} / it leaves {}"},
            "ticket": {"<few> euros": "it costs {} / tickets cost {} / passengers pay {} for a ticket"},
            "wifi": {
                "yes": "it has free wifi / there is wifi on board / wifi is available",
                "no": "it has no wifi / there is no wifi on board / wifi is not available",
            },
        },
    ),
    Domain(
        noun="team / club",
        name="<place> United / <place> Town / The <place> <thing>s",
        slots={
            "sport": {"football / hockey / rugby / cricket": "{} ~ / it plays {}"},
            "city": {"<place>": "~ from {} / ~ based in {} / ~ from the city of {} / it comes from {}"},
            "coach": {"<person>": "it is led by {} / the coach is {}"},
            "founded": {"<year>": "it was founded in {} / ~ founded in {}"},
            "fans": {"many / few": "it has {} fans / ~ with {} fans / {} people come to its matches"},
            "last match": {
                "won": "it won its last match / the last match ended in a victory",
                "lost": "it lost its last match / the last match ended in a defeat",
            },
        },
    ),
    Domain(
        noun="laptop / computer",
        name="<thing> <few> / <forename> <tens> / <colour>book",
        slots={
            "weight": {"light / heavy": "{} ~ / it is {} / it feels {}"},
            "maker": {"<place>": "~ by {} / ~ made by {} / it is made by {}"},
            "battery": {"<few> hours": "it runs for {} / the battery lasts {} / it works for {}"},
            "screen": {"small / large / bright": "~ with a {} screen / it has a {} screen"},
            "price": {"<tens>0 dollars": "it costs {} / it sells for {} / the price is {}"},
        },
    ),
    Domain(
        noun="book / novel",
        name="<title>",
        slots={
            "length": {"short / long": "{} ~", "<tens>0 pages": "it has {} / it runs to {}"},
            "writer": {"<person>": "~ by {} / ~ written by {} / it was written by {}"},
            "published": {"<year>": "~ from {} / it was published in {} / it appeared in {}"},
            "subject": {"<subject> / <goods>": "~ about {} / ~ on {} / it deals with {} / it tells of {}"},
            "prize": {
                "yes": "prize - winning ~ / it won a prize",
                "no": "it did not win a prize / it looked for a prize in vain",
            },
        },
    ),
    Domain(
        noun="car",
        name="<place> <few> / <colour> <thing> / <thing>",
        slots={
            "colour": {"red / blue / white / black / green": "{} ~ / it is {} / it comes in {}"},
            "fuel": {"electric / diesel / hybrid": "{} ~"},
            "built": {"<recent>": "~ from {} / ~ built in {} / it was built in {}"},
            "seats": {"two / four / five / seven": "~ with {} seats / it has {} seats / it seats {}"},
            "condition": {"good / poor": "~ in {} condition / it is in {} condition"},
            "owner": {"<person>": "it belongs to {} / the owner is {} / {} owns it"},
        },
    ),
    Domain(
        noun="band / group",
        name="The <colour> <thing>s / <forename> and the <thing>s / <place>",
        slots={
            "style": {"jazz / rock / folk / punk": "{} ~ / it plays {}"},
            "home": {"<place>": "~ from {} / ~ based in {} / it comes from {} / it has its home in {}"},
            "members": {"three / four / five / six": "~ with {} members / it has {} members"},
            "founded": {"<year>": "it was founded in {} / it was formed in {} / ~ formed in {}"},
            "concert": {"<day>": "it plays live every {} / on {}s it gives a concert"},
        },
    ),
    Domain(
        noun="dish / meal",
        name="<place> pie / <colour> soup / <forename> 's salad / <thing> cake",
        slots={
            "taste": {"spicy / sweet / sour / mild": "{} ~ / it tastes {} / it is {}"},
            "ingredient": {"rice / beef / fish / beans": "~ with {} / ~ made with {} / it contains {}"},
            "region": {"<place>": "~ from {} / it comes from {} / it is popular in {}"},
            "time": {"<tens> minutes": "it takes {} to cook / it is ready in {} / cooking takes {}"},
            "vegetarian": {
                "yes": "vegetarian ~ / it contains no meat / vegetarians can eat it",
                "no": "it is not vegetarian / vegetarians should not eat it",
            },
        },
    ),
    Domain(
        noun="school",
        name="<place> School / <person> College / <thing> Academy",
        slots={
            "kind": {"primary / private / public / language": "{} ~"},
            "town": {"<place>": "~ in {} / ~ located in {} / it is in {} / it can be found in {}"},
            "pupils": {"<tens>0": "~ with {} pupils / it has {} pupils / {} children go there"},
            "opened": {"<year>": "it opened in {} / it has kept its doors open since {}"},
            "known for": {"<subject>": "~ known for {} / it is known for {} / it is famous for {}"},
            "uniform": {
                "yes": "it has a uniform / pupils wear a uniform",
                "no": "it does not have a uniform / there is no uniform",
            },
        },
    ),
    Domain(
        noun="shop / store",
        name="<forename> 's / The <colour> <thing> / <place> Stores / <thing> and <thing>",
        slots={
            "sells": {"<goods>": "~ for {} / it sells {} / it offers {} / customers can buy {}"},
            "street": {"<thing> Street / <colour> Lane": "~ on {} / ~ located on {} / it is on {}"},
            "closed": {"<day>": "it is closed on {}s / it does not open on {}s / on {}s it is closed"},
            "parking": {
                "yes": "~ with parking / it has parking / customers can park free of charge",
                "no": "it has no parking / customers will look for parking in vain",
            },
            "rating": {"high / low / good": "~ with a {} rating / it has a {} rating"},
        },
    ),
    Domain(
        noun="café / coffee shop",
        name="The <colour> <thing> / <forename> 's / Café <thing> / <place> Café",
        slots={
            "style": {"modern / quiet / small / busy": "{} ~ / it is {}"},
            "street": {"<thing> Street / <colour> Lane": "~ on {} / it is on {}"},
            "coffee": {"<few> euros": "it charges {} for a coffee / guests pay {} for a coffee"},
            "cakes": {
                "yes": "it has its own cakes / it makes its own cakes",
                "no": "it has no cakes / hungry guests get no cake",
            },
            "shut": {"<day>": "it is shut every {} / on {}s it is shut"},
        },
    ),
    Domain(
        noun="park / garden",
        name="<place> Park / The <colour> Garden / <person> Gardens",
        slots={
            "size": {"small / large / long": "{} ~ / it is {}"},
            "town": {"<place>": "~ in {} / ~ in the city of {} / it is in {}"},
            "plants": {"roses / oaks / palms / herbs": "~ full of {} / it is full of {} / it shows {}"},
            "lake": {"yes": "~ with a lake / it has a lake", "no": "it has no lake"},
            "gates": {"open / shut": "the gates are {} at night / it keeps its gates {} at night"},
            "visitors": {"many / few": "it has {} visitors / {} visitors come to see it"},
        },
    ),
    Domain(
        noun="ship / boat",
        name="The <thing> of <place> / The <colour> <thing> / <forename> <few>",
        slots={
            "engine": {"steam / electric / diesel": "{} ~ / it has a {} engine"},
            "built": {"<year>": "~ from {} / it was built in {} / its story began in {}"},
            "captain": {"<person>": "~ led by {} / it is led by {} / {} looks after it"},
            "carries": {"<goods>": "~ with {} on board / it carries {} / its rooms are full of {}"},
            "harbour": {"<place>": "it lies at {} / it stays in the harbour of {}"},
        },
    ),
    Domain(
        noun="course / class",
        name="<thing> School of <subject> / <person> 's lessons / <place> Class <few>",
        slots={
            "subject": {"<subject>": "~ on {} / ~ in {} / it teaches {} / students learn {}"},
            "level": {"easy / hard / basic": "{} ~ / it is {}"},
            "starts": {"<day>": "it starts on {} / it begins every {}"},
            "fee": {
                "free": "free ~ / it costs nothing / it is free of charge",
                "<tens> euros": "the fee is {} / students pay {}",
            },
            "books": {
                "included": "it lends books to its students / books are available for free",
                "extra": "it charges extra for books / books are not available",
            },
        },
    ),
    Domain(
        noun="festival / fair",
        name="<place> Days / The <colour> <thing> / Feast of <place>",
        slots={
            "theme": {"<subject>": "{} ~"},
            "place": {"<place>": "~ in {} / ~ held in {} / it is held in {} / it takes place in {}"},
            "month": {"May / June / July / August": "~ in {} / it begins in {} / visitors come in {}"},
            "tickets": {
                "free": "it can be visited for free / tickets are free / it costs nothing to get in",
                "<tens> euros": "tickets cost {} / it asks {} at the door / entry costs {}",
            },
            "stalls": {"<goods>": "stalls sell {} / it has {} on sale / visitors find {}"},
            "camping": {
                "yes": "~ with a camp site / it has its own camp site",
                "no": "it does not have a camp site",
            },
        },
    ),
    Domain(
        noun="programme / show",
        name="<title>",
        slots={
            "medium": {"radio / television": "{} ~"},
            "topic": {"<subject>": "~ about {} / ~ on {} / it is about {} / listeners learn about {}"},
            "host": {"<person>": "~ with {} / ~ led by {} / {} guides the guests through it"},
            "day": {"<day>": "it runs every {} / it can be heard every {} / on {}s it goes out"},
            "audio files": {
                "yes": "it offers audio files to its listeners / audio files are available",
                "no": "it has no audio files / audio files are not available",
            },
        },
    ),
    Domain(
        noun="house / flat",
        name="<few> <thing> Street / <thing> House / <colour> Hall / <tens> <colour> Lane",
        slots={
            "size": {"small / large": "{} ~ / it is {}"},
            "town": {"<place>": "~ in {} / ~ in the city of {} / it stands in {} / it can be found in {}"},
            "rooms": {"three / four / five / six": "~ with {} rooms / it has {} rooms / there are {} rooms"},
            "contents": {"<goods>": "it is full of {} / ~ full of {} / its hall is full of {}"},
            "rent": {"<tens>0 euros": "the rent is {} / it costs {} a month / tenants pay {} for it"},
            "owner": {"<person>": "it belongs to {} / ~ owned by {} / {} runs it"},
        },
    ),
)

MUSEUM = Domain(
    noun="museum",
    name="The <colour> <thing> / <place> Museum / <person> Gallery / The <place> Collection",
    slots={
        "theme": {"<subject>": "{} ~"},
        "city": {"<place>": "~ in {} / ~ in the city of {} / it stands in {}"},
        "exhibits": {
            "<goods>": "it shows {} / ~ with a collection of {} / visitors can see {} / its halls hold {}"
        },
        "entry": {
            "free": "entry is free / it can be visited free of charge / it costs nothing to get in",
            "<few> euros": "it charges {} for entry / entry costs {} / visitors pay {} at the door",
        },
        "audio guide": {
            "yes": "it lends audio guides to its visitors / audio guides are available",
            "no": "it has no audio guides / audio guides are not available",
        },
        "closing day": {"<day>": "it keeps its doors shut every {} / on {}s it is shut"},
        "cafe": {
            "yes": "it runs its own café / ~ with a café / a café looks after hungry guests",
            "no": "it does not have a café / guests will look for a café in vain",
        },
    },
)
