//! Amounts of money, in integers only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

crate::integer_type! {
    /// An amount in the smallest unit of its currency, such as cents: 1998 is 19.98 euros, or 1998 yen.
    pub struct Amount in 0..=crate::constrained::MAX_SAFE_INTEGER, example 1998;
}

crate::string_type! {
    /// The code of a currency that is in use (ISO 4217, as of 2026).
    pub struct Currency {
        length: 3..=3,
        pattern: "^(AED|AFN|ALL|AMD|AOA|ARS|AUD|AWG|AZN|BAM|BBD|BDT|BHD|BIF|BMD|BND|BOB|BRL|BSD|BTN|BWP|BYN|BZD|CAD|CDF|\
                  CHF|CLP|CNY|COP|CRC|CUP|CVE|CZK|DJF|DKK|DOP|DZD|EGP|ERN|ETB|EUR|FJD|FKP|GBP|GEL|GHS|GIP|GMD|GNF|GTQ|GYD|\
                  HKD|HNL|HTG|HUF|IDR|ILS|INR|IQD|IRR|ISK|JMD|JOD|JPY|KES|KGS|KHR|KMF|KPW|KRW|KWD|KYD|KZT|LAK|LBP|LKR|LRD|\
                  LSL|LYD|MAD|MDL|MGA|MKD|MMK|MNT|MOP|MRU|MUR|MVR|MWK|MXN|MYR|MZN|NAD|NGN|NIO|NOK|NPR|NZD|OMR|PAB|PEN|PGK|\
                  PHP|PKR|PLN|PYG|QAR|RON|RSD|RUB|RWF|SAR|SBD|SCR|SDG|SEK|SGD|SHP|SLE|SOS|SRD|SSP|STN|SVC|SYP|SZL|THB|TJS|\
                  TMT|TND|TOP|TRY|TTD|TWD|TZS|UAH|UGX|USD|UYU|UZS|VED|VES|VND|VUV|WST|XAF|XCD|XCG|XOF|XPF|YER|ZAR|ZMW|ZWG)$",
        expected: "the code of a currency (ISO 4217), in upper case",
        example: "EUR",
    }
}

/// An amount of money: an integer number of the currency's smallest unit, never a fraction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// The amount in the smallest unit of the currency.
    pub amount: Amount,
    /// The currency.
    pub currency: Currency,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_an_integer_and_a_currency() {
        let read = |text: &str| serde_json::from_str::<Money>(text);
        assert_eq!(read(r#"{"amount": 1998, "currency": "EUR"}"#).unwrap().amount.get(), 1998);
        assert!(read(r#"{"amount": 9007199254740991, "currency": "JPY"}"#).is_ok());
        for wrong in [
            r#"{"amount": 19.98, "currency": "EUR"}"#,
            r#"{"amount": -1, "currency": "EUR"}"#,
            r#"{"amount": 9007199254740992, "currency": "EUR"}"#,
            r#"{"amount": 1, "currency": "eur"}"#,
            r#"{"amount": 1, "currency": "XXX"}"#,
            r#"{"amount": 1, "currency": "EURO"}"#,
            r#"{"amount": 1}"#,
            r#"{"amount": 1, "currency": "EUR", "scale": 2}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
