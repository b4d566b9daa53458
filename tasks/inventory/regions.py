"""Where the clouds' regions are: a small table of public facts, to the nearest tenth of a degree.

Sources: the region lists that AWS, Google Cloud and Azure publish (metropolitan area of each region), the IANA time
zone of that area, and the electricity grid zone in Electricity Maps' names. A region that is missing here is
written with a `# check:` mark, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

from blocks.fleet import Provider


@dataclass(frozen=True)
class Region:
    """A cloud region: degrees north and east, IANA time zone, grid zone."""

    location: str
    latitude: float
    longitude: float
    time_zone: str
    grid_zone: str


_EASTERN, _CENTRAL, _PACIFIC = "America/New_York", "America/Chicago", "America/Los_Angeles"

VIRGINIA = Region("Northern Virginia, USA", 39.0, -77.5, _EASTERN, "US-MIDA-PJM")
OHIO = Region("Columbus, Ohio, USA", 40.0, -83.0, _EASTERN, "US-MIDA-PJM")
CALIFORNIA = Region("San Francisco Bay Area, California, USA", 37.4, -122.0, _PACIFIC, "US-CAL-CISO")
LOS_ANGELES = Region("Los Angeles, California, USA", 34.1, -118.2, _PACIFIC, "US-CAL-LDWP")
OREGON = Region("Boardman, Oregon, USA", 45.8, -119.7, _PACIFIC, "US-NW-BPAT")
WASHINGTON = Region("Quincy, Washington, USA", 47.2, -119.9, _PACIFIC, "US-NW-GCPD")
DES_MOINES = Region("Des Moines, Iowa, USA", 41.6, -93.6, _CENTRAL, "US-MIDW-MISO")
GAVLE = Region("Gavle, Sweden", 60.7, 17.1, "Europe/Stockholm", "SE-SE3")
IOWA = Region("Council Bluffs, Iowa, USA", 41.3, -95.9, _CENTRAL, "US-MIDW-MISO")
TEXAS = Region("San Antonio, Texas, USA", 29.4, -98.5, _CENTRAL, "US-TEX-ERCO")
MONTREAL = Region("Montreal, Canada", 45.5, -73.6, "America/Toronto", "CA-QC")
TORONTO = Region("Toronto, Canada", 43.7, -79.4, "America/Toronto", "CA-ON")
SAO_PAULO = Region("Sao Paulo, Brazil", -23.5, -46.6, "America/Sao_Paulo", "BR-CS")
IRELAND = Region("Dublin, Ireland", 53.3, -6.3, "Europe/Dublin", "IE")
LONDON = Region("London, United Kingdom", 51.5, -0.1, "Europe/London", "GB")
PARIS = Region("Paris, France", 48.9, 2.4, "Europe/Paris", "FR")
FRANKFURT = Region("Frankfurt, Germany", 50.1, 8.7, "Europe/Berlin", "DE")
AMSTERDAM = Region("Amsterdam, Netherlands", 52.4, 4.9, "Europe/Amsterdam", "NL")
BELGIUM = Region("St. Ghislain, Belgium", 50.5, 3.8, "Europe/Brussels", "BE")
ZURICH = Region("Zurich, Switzerland", 47.4, 8.5, "Europe/Zurich", "CH")
MILAN = Region("Milan, Italy", 45.5, 9.2, "Europe/Rome", "IT-NO")
MADRID = Region("Madrid, Spain", 40.4, -3.7, "Europe/Madrid", "ES")
WARSAW = Region("Warsaw, Poland", 52.2, 21.0, "Europe/Warsaw", "PL")
STOCKHOLM = Region("Stockholm, Sweden", 59.3, 18.1, "Europe/Stockholm", "SE-SE3")
HAMINA = Region("Hamina, Finland", 60.6, 27.2, "Europe/Helsinki", "FI")
OSLO = Region("Oslo, Norway", 59.9, 10.8, "Europe/Oslo", "NO-NO1")
BAHRAIN = Region("Manama, Bahrain", 26.2, 50.6, "Asia/Bahrain", "BH")
DUBAI = Region("Dubai, United Arab Emirates", 25.2, 55.3, "Asia/Dubai", "AE")
TEL_AVIV = Region("Tel Aviv, Israel", 32.1, 34.8, "Asia/Jerusalem", "IL")
CAPE_TOWN = Region("Cape Town, South Africa", -33.9, 18.4, "Africa/Johannesburg", "ZA")
JOHANNESBURG = Region("Johannesburg, South Africa", -26.2, 28.0, "Africa/Johannesburg", "ZA")
MUMBAI = Region("Mumbai, India", 19.1, 72.9, "Asia/Kolkata", "IN-WE")
PUNE = Region("Pune, India", 18.5, 73.9, "Asia/Kolkata", "IN-WE")
SINGAPORE = Region("Singapore", 1.4, 103.8, "Asia/Singapore", "SG")
JAKARTA = Region("Jakarta, Indonesia", -6.2, 106.8, "Asia/Jakarta", "ID")
HONG_KONG = Region("Hong Kong", 22.3, 114.2, "Asia/Hong_Kong", "HK")
TAIWAN = Region("Changhua County, Taiwan", 24.1, 120.5, "Asia/Taipei", "TW")
TOKYO = Region("Tokyo, Japan", 35.7, 139.7, "Asia/Tokyo", "JP-TK")
OSAKA = Region("Osaka, Japan", 34.7, 135.5, "Asia/Tokyo", "JP-KN")
SEOUL = Region("Seoul, South Korea", 37.6, 127.0, "Asia/Seoul", "KR")
SYDNEY = Region("Sydney, Australia", -33.9, 151.2, "Australia/Sydney", "AU-NSW")
MELBOURNE = Region("Melbourne, Australia", -37.8, 145.0, "Australia/Melbourne", "AU-VIC")

REGIONS: dict[Provider, dict[str, Region]] = {
    Provider.EKS: {
        "us-east-1": VIRGINIA, "us-east-2": OHIO, "us-west-1": CALIFORNIA, "us-west-2": OREGON,
        "ca-central-1": MONTREAL, "sa-east-1": SAO_PAULO,
        "eu-west-1": IRELAND, "eu-west-2": LONDON, "eu-west-3": PARIS, "eu-central-1": FRANKFURT,
        "eu-central-2": ZURICH, "eu-north-1": STOCKHOLM, "eu-south-1": MILAN,
        "me-south-1": BAHRAIN, "me-central-1": DUBAI, "il-central-1": TEL_AVIV, "af-south-1": CAPE_TOWN,
        "ap-south-1": MUMBAI, "ap-southeast-1": SINGAPORE, "ap-southeast-2": SYDNEY, "ap-southeast-3": JAKARTA,
        "ap-southeast-4": MELBOURNE, "ap-east-1": HONG_KONG, "ap-northeast-1": TOKYO, "ap-northeast-2": SEOUL,
        "ap-northeast-3": OSAKA,
    },
    Provider.GKE: {
        "us-central1": IOWA, "us-east4": VIRGINIA, "us-east5": OHIO, "us-west1": OREGON, "us-west2": LOS_ANGELES,
        "northamerica-northeast1": MONTREAL, "northamerica-northeast2": TORONTO, "southamerica-east1": SAO_PAULO,
        "europe-west1": BELGIUM, "europe-west2": LONDON, "europe-west3": FRANKFURT, "europe-west4": AMSTERDAM,
        "europe-west6": ZURICH, "europe-west8": MILAN, "europe-west9": PARIS, "europe-southwest1": MADRID,
        "europe-central2": WARSAW, "europe-north1": HAMINA, "me-west1": TEL_AVIV, "africa-south1": JOHANNESBURG,
        "asia-south1": MUMBAI, "asia-southeast1": SINGAPORE, "asia-southeast2": JAKARTA, "asia-east1": TAIWAN,
        "asia-east2": HONG_KONG, "asia-northeast1": TOKYO, "asia-northeast2": OSAKA, "asia-northeast3": SEOUL,
        "australia-southeast1": SYDNEY, "australia-southeast2": MELBOURNE,
    },
    Provider.AKS: {
        "eastus": VIRGINIA, "eastus2": VIRGINIA, "centralus": DES_MOINES, "southcentralus": TEXAS, "westus": CALIFORNIA,
        "westus2": WASHINGTON, "canadacentral": TORONTO, "brazilsouth": SAO_PAULO,
        "northeurope": IRELAND, "westeurope": AMSTERDAM, "uksouth": LONDON, "francecentral": PARIS,
        "germanywestcentral": FRANKFURT, "switzerlandnorth": ZURICH, "italynorth": MILAN, "spaincentral": MADRID,
        "polandcentral": WARSAW, "swedencentral": GAVLE, "norwayeast": OSLO, "israelcentral": TEL_AVIV,
        "uaenorth": DUBAI, "southafricanorth": JOHANNESBURG,
        "centralindia": PUNE, "westindia": MUMBAI, "southeastasia": SINGAPORE, "indonesiacentral": JAKARTA,
        "eastasia": HONG_KONG, "japaneast": TOKYO, "japanwest": OSAKA, "koreacentral": SEOUL,
        "australiaeast": SYDNEY, "australiasoutheast": MELBOURNE,
    },
    Provider.K3S: {},
}  # fmt: skip


def region_of(provider: Provider, location: str) -> Region | None:
    """The region of a cloud's location; a GKE zone is in its region.

    >>> region_of(Provider.GKE, "europe-west1-b").location
    'St. Ghislain, Belgium'
    """
    regions = REGIONS[provider]
    return regions.get(location) or regions.get(location.rpartition("-")[0])
