"""Names of Presidio's recognisers: those that look by default, and those of countries that are asked for.

They are listed here so that a recipe is checked without loading Presidio; a test compares them with the
installed one.
"""

PRESIDIO = (
    "CreditCardRecognizer", "CryptoRecognizer", "DateRecognizer", "EmailRecognizer",
    "IbanRecognizer", "IpRecognizer", "MacAddressRecognizer", "MedicalLicenseRecognizer",
    "NhsRecognizer", "PhoneRecognizer", "UrlRecognizer", "UsBankRecognizer", "UsItinRecognizer",
    "UsLicenseRecognizer", "UsPassportRecognizer", "UsSsnRecognizer", "UuidRecognizer",
)  # fmt: skip
LOCALES = {
    "au": ("AuAbnRecognizer", "AuAcnRecognizer", "AuMedicareRecognizer", "AuTfnRecognizer"),
    "ca": ("CaPostalCodeRecognizer", "CaSinRecognizer"),
    "de": (
        "DeBsnrRecognizer", "DeFuehrerscheinRecognizer", "DeHandelsregisterRecognizer",
        "DeHealthInsuranceRecognizer", "DeIdCardRecognizer", "DeKfzRecognizer", "DeLanrRecognizer",
        "DePassportRecognizer", "DePlzRecognizer", "DeSocialSecurityRecognizer",
        "DeTaxIdRecognizer", "DeTaxNumberRecognizer", "DeVatIdRecognizer",
    ),
    "es": ("EsNieRecognizer", "EsNifRecognizer", "EsPassportRecognizer"),
    "fi": ("FiPersonalIdentityCodeRecognizer",),
    "in": (
        "InAadhaarRecognizer", "InGstinRecognizer", "InPanRecognizer", "InPassportRecognizer",
        "InVehicleRegistrationRecognizer", "InVoterRecognizer",
    ),
    "it": (
        "ItDriverLicenseRecognizer", "ItFiscalCodeRecognizer", "ItIdentityCardRecognizer",
        "ItPassportRecognizer", "ItVatCodeRecognizer",
    ),
    "kr": (
        "KrBrnRecognizer", "KrDriverLicenseRecognizer", "KrFrnRecognizer", "KrPassportRecognizer",
        "KrRrnRecognizer",
    ),
    "ng": ("NgNinRecognizer", "NgVehicleRegistrationRecognizer"),
    "ph": ("PhPassportRecognizer", "PhTinRecognizer", "PhUmidRecognizer"),
    "pl": ("PlPeselRecognizer",),
    "se": ("SeOrganisationsnummerRecognizer", "SePersonnummerRecognizer"),
    "sg": ("SgFinRecognizer", "SgUenRecognizer"),
    "th": ("ThTninRecognizer",),
    "tr": ("TrLicensePlateRecognizer", "TrNationalIdRecognizer"),
    "uk": (
        "UkDrivingLicenceRecognizer", "UkNinoRecognizer", "UkPassportRecognizer",
        "UkPostcodeRecognizer", "UkVehicleRegistrationRecognizer",
    ),
    "us": (
        "AbaRoutingRecognizer", "UsClaimNumberRecognizer", "UsHealthInsuranceMemberIdRecognizer",
        "UsMbiRecognizer", "UsNpiRecognizer", "UsPrescriptionNumberRecognizer",
        "UsPriorAuthorizationNumberRecognizer", "UsProviderTaxIdRecognizer",
        "UsReferralNumberRecognizer",
    ),
    "za": (
        "ZaCompanyRegistrationRecognizer", "ZaDriverLicenseRecognizer", "ZaIdNumberRecognizer",
        "ZaIncomeTaxNumberRecognizer", "ZaLicensePlateRecognizer", "ZaMobileNumberRecognizer",
        "ZaPassportRecognizer", "ZaTelephoneNumberRecognizer", "ZaTrafficRegisterNumberRecognizer",
        "ZaVatNumberRecognizer",
    ),
}  # fmt: skip
