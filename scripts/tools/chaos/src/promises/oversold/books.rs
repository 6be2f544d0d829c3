//! Bookkeeping: the answers to buyers, beside what the service says of its products and reservations.

use std::fmt;

use anyhow::Result;

use crate::buyers::{Buyer, Outcome, Shopper};

/// How many pieces of a product there are.
pub(super) const STOCK: i64 = 1000;

/// Of all products of a run.
#[derive(Debug, Default)]
pub(super) struct Books {
    held: usize,
    released: usize,
    sold_out: usize,
    /// Where the books differ, or more or less was granted than there was.
    pub(super) wrong: Vec<String>,
}

impl Books {
    /// Compares the `buyers` of a product with what both replicas say of it and of each reservation.
    pub(super) async fn audit(&mut self, shopper: &mut Shopper, product: i64, buyers: &[Buyer]) -> Result<()> {
        let mut found = Vec::new();
        for buyer in buyers {
            found.push(shopper.status(&buyer.reservation).await?);
        }
        let books = Self::compare(buyers, &found);
        let expected = (STOCK - books.held as i64, books.held as i64);
        self.add(books);
        for replica in [0, 1] {
            self.check_stock(shopper, product, replica, expected).await;
        }
        Ok(())
    }

    /// Releases whatever is granted: the stock must be whole again.
    pub(super) async fn release_all(&mut self, shopper: &mut Shopper, product: i64, buyers: &[Buyer]) -> Result<()> {
        for Buyer { reservation, outcome } in buyers {
            if matches!(outcome, Outcome::Held | Outcome::Released) {
                let released = shopper.release(reservation).await?;
                if released != Outcome::Released {
                    self.wrong.push(format!("releasing {reservation} was answered with {released:?}"));
                }
            }
        }
        self.check_stock(shopper, product, 0, (STOCK, 0)).await;
        Ok(())
    }

    /// What is in stock and what is reserved, as the replica with this number says, must be as `expected`.
    async fn check_stock(&mut self, shopper: &mut Shopper, product: i64, replica: usize, expected: (i64, i64)) {
        match shopper.stock(product, replica).await {
            Ok(stock) if stock == expected => {}
            Ok(stock) => self.wrong.push(format!("stock and reserved are {stock:?}, by the reservations {expected:?}")),
            Err(error) => self.wrong.push(format!("the stock cannot be read: {error:#}")),
        }
    }

    /// The books of one product. `found`: the status of each buyer's reservation.
    fn compare(buyers: &[Buyer], found: &[Option<String>]) -> Self {
        let mut books = Self::default();
        for (Buyer { reservation, outcome }, found) in buyers.iter().zip(found) {
            match (outcome, found.as_deref()) {
                (Outcome::Held, Some("held")) => books.held += 1,
                (Outcome::Released, Some("released")) => books.released += 1,
                (Outcome::SoldOut, None) => books.sold_out += 1,
                _ => books.wrong.push(format!("{reservation}: the buyer's answer is {outcome:?}, found is {found:?}")),
            }
        }
        let held = books.held;
        if held as i64 != STOCK {
            books.wrong.push(format!("{held} of {STOCK} pieces are granted"));
        }
        books
    }

    fn add(&mut self, other: Self) {
        self.held += other.held;
        self.released += other.released;
        self.sold_out += other.sold_out;
        self.wrong.extend(other.wrong);
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { held, released, sold_out, wrong } = self;
        let wrong = wrong.len();
        write!(f, "{held} buyers have a piece, {released} gave it back, {sold_out} got 409; {wrong} differences")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buyer for each piece, and one more.
    fn buyers() -> (Vec<Buyer>, Vec<Option<String>>) {
        let granted = (0..STOCK).map(|_| (Outcome::Held, Some("held".to_owned())));
        let all = granted.chain([(Outcome::SoldOut, None)]).enumerate();
        all.map(|(number, (outcome, found))| (Buyer { reservation: number.to_string(), outcome }, found)).unzip()
    }

    #[test]
    fn what_was_granted_is_what_was_there() {
        let (buyers, found) = buyers();
        let books = Books::compare(&buyers, &found);
        assert_eq!((books.held, books.sold_out, books.wrong), (1000, 1, Vec::<String>::new()));
    }

    #[test]
    fn a_missing_reservation_is_found() {
        let (buyers, mut found) = buyers();
        found[0] = None;
        assert_eq!(Books::compare(&buyers, &found).wrong.len(), 2);
    }

    #[test]
    fn a_piece_too_many_is_found() {
        let (mut buyers, mut found) = buyers();
        buyers[1000].outcome = Outcome::Held;
        found[1000] = Some("held".to_owned());
        assert_eq!(Books::compare(&buyers, &found).wrong, ["1001 of 1000 pieces are granted"]);
    }

    #[test]
    fn a_refused_buyer_with_a_reservation_is_found() {
        let (buyers, mut found) = buyers();
        found[1000] = Some("held".to_owned());
        assert_eq!(Books::compare(&buyers, &found).wrong.len(), 1);
    }
}
