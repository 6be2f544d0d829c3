//! Bookkeeping: what buyers were told, beside what the service says of its products and reservations.

use std::fmt;

use anyhow::Result;

use crate::buyers::{Buyer, Outcome, Shopper};

/// How many pieces of a product there are.
pub(super) const STOCK: i64 = 1000;

/// Of all products of a run.
#[derive(Debug, Default)]
pub(super) struct Books {
    held: usize,
    bound: usize,
    committed: usize,
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
        let expected = (STOCK - books.granted() as i64, (books.held + books.bound) as i64);
        self.add(books);
        for replica in [0, 1] {
            self.check_stock(shopper, product, replica, expected).await;
        }
        Ok(())
    }

    /// Releases whatever is granted: the stock must be whole again.
    pub(super) async fn release_all(&mut self, shopper: &mut Shopper, product: i64, buyers: &[Buyer]) -> Result<()> {
        for Buyer { reservation, outcome } in buyers {
            if matches!(outcome, Outcome::Granted(_)) {
                let released = shopper.settle(reservation, "release", "released").await?;
                if released != Outcome::Granted("released") {
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
                (Outcome::Granted(told), Some(found)) if *told == found => match *told {
                    "held" => books.held += 1,
                    "bound" => books.bound += 1,
                    "committed" => books.committed += 1,
                    _ => books.released += 1,
                },
                (Outcome::SoldOut, None) => books.sold_out += 1,
                _ => books.wrong.push(format!("{reservation}: the buyer was told {outcome:?}, found is {found:?}")),
            }
        }
        let granted = books.granted();
        if granted as i64 != STOCK {
            books.wrong.push(format!("{granted} of {STOCK} pieces are granted"));
        }
        books
    }

    /// How many pieces are sold or held.
    fn granted(&self) -> usize {
        self.held + self.bound + self.committed
    }

    fn add(&mut self, other: Self) {
        self.held += other.held;
        self.bound += other.bound;
        self.committed += other.committed;
        self.released += other.released;
        self.sold_out += other.sold_out;
        self.wrong.extend(other.wrong);
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { held, bound, committed, released, sold_out, wrong } = self;
        write!(
            f,
            "{} buyers have a piece ({held} held, {bound} bound, {committed} sold), {released} gave it back, {sold_out} \
             got 409; {} differences",
            self.granted(),
            wrong.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buyer for each piece, and one more.
    fn buyers() -> (Vec<Buyer>, Vec<Option<String>>) {
        let granted = (0..STOCK).map(|number| (Outcome::Granted(["held", "committed"][number as usize % 2]), true));
        let all = granted.chain([(Outcome::SoldOut, false)]).enumerate().map(|(number, (outcome, found))| {
            let status = if let Outcome::Granted(status) = outcome { status } else { "" };
            (Buyer { reservation: number.to_string(), outcome }, found.then(|| status.to_owned()))
        });
        all.unzip()
    }

    #[test]
    fn what_was_granted_is_what_was_there() {
        let (buyers, found) = buyers();
        let books = Books::compare(&buyers, &found);
        assert_eq!((books.granted(), books.sold_out, books.wrong), (1000, 1, Vec::<String>::new()));
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
        buyers[1000].outcome = Outcome::Granted("held");
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
