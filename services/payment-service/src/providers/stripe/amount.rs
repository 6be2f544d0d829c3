//! Amounts as Stripe counts them: in the smallest unit of the currency, but for three currencies
//! (<https://docs.stripe.com/currencies#special-cases>).

use contract::money::Money;

/// Of these Stripe counts hundredths, which they do not have.
const IN_HUNDREDTHS: [&str; 2] = ["ISK", "UGX"];
/// Of this one Stripe does not count the smallest unit, a hundredth.
const IN_WHOLES: &str = "MGA";

/// `money` as a number of Stripe's units; `None` if it is none.
pub(super) fn units(money: &Money) -> Option<i64> {
    let amount = money.amount.get();
    match money.currency.as_str() {
        currency if IN_HUNDREDTHS.contains(&currency) => amount.checked_mul(100),
        IN_WHOLES => (amount % 100 == 0).then_some(amount / 100),
        _ => Some(amount),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_the_same_money_at_stripe() {
        for (amount, currency, expected) in [
            (1998, "EUR", Some(1998)),
            (1998, "JPY", Some(1998)),
            (5120, "KWD", Some(5120)),
            (1998, "ISK", Some(199_800)),
            (5, "UGX", Some(500)),
            (500, "MGA", Some(5)),
            (501, "MGA", None),
        ] {
            let money = Money { amount: amount.try_into().unwrap(), currency: currency.parse().unwrap() };
            assert_eq!(units(&money), expected, "{amount} {currency}");
        }
    }
}
