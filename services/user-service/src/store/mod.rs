//! The users in the database: all SQL of the service.

use chrono::{DateTime, SubsecRound, Utc};
use contract::answer::Created;
use service_runtime::database::{Batches, Database, DatabaseError, read_by_id};
use service_runtime::events::Outbox;
use service_runtime::idempotency::{Claim, remove_responses};
use service_runtime::with_pool;
use user_service_api::{
    Channel, Contact, EmailAddress, Language, PhoneNumber, User, UserCreate, UserDeleted, UserId, UserName,
    UserRegistered,
};

/// The columns of a [`UserRow`].
macro_rules! columns {
    () => {
        "id, email, name"
    };
}

/// The stored users.
///
/// Every method fails with [`DatabaseError::Unavailable`] when the database does not answer, and with
/// [`DatabaseError::Fault`] on a bug.
#[derive(Clone, Debug)]
pub struct UserStore {
    database: Database,
    finds: Batches<UserId, Option<User>>,
    lists: Batches<Vec<UserId>, Vec<User>>,
    outbox: Outbox,
}

type UserRow = (i64, String, String);

/// Phone number, language and channels.
type ContactRow = (Option<String>, String, String);

impl UserStore {
    /// The users in `database`, whose events go to `outbox`.
    pub fn new(database: Database, outbox: Outbox) -> Self {
        let finds = Batches::new(&database, find_all);
        let lists = Batches::new(&database, list_all);
        Self { database, finds, lists, outbox }
    }

    /// Stores a new user, and the response under the key of `claim`, in one transaction.
    /// [`DatabaseError::UniqueViolation`]: another user has the e-mail address, or the key has a response already.
    pub async fn insert(
        &self,
        user: &UserCreate,
        created_at: DateTime<Utc>,
        claim: Option<Claim>,
        trace: Option<&str>,
    ) -> Result<(User, Created<User>), DatabaseError> {
        with_pool!(self.database.writer(), |pool| async {
            let insert = sqlx::query_as(concat!(
                "INSERT INTO users (email, email_key, name, created_at)
                 VALUES ($1, $2, $3, $4)
                 ON CONFLICT (email_key) DO NOTHING
                 RETURNING ",
                columns!()
            ))
            .bind(user.email.as_str())
            .bind(key(&user.email))
            .bind(user.name.as_str())
            .bind(created_at.trunc_subsecs(6));
            let mut transaction = pool.begin().await?;
            let user = first(insert.fetch_all(&mut *transaction).await?)?.ok_or(sqlx::Error::RowNotFound)?;
            let response = Created::new(&user, location(user.id)).map_err(DatabaseError::decode_error)?;
            if let Some(claim) = &claim {
                Claim::store_responses(&mut transaction, vec![(claim, &response, created_at)]).await?;
            }
            let event = self.outbox.event(&UserRegistered { user_id: user.id }, created_at, trace)?;
            let _wake = self.outbox.write(&mut transaction, &[event]).await?;
            transaction.commit().await?;
            Ok((user, response))
        })
    }

    /// The user with this id.
    pub async fn find(&self, id: UserId) -> Result<Option<User>, DatabaseError> {
        self.finds.run(id).await
    }

    /// The users with these ids, in the order of the ids; missing ones are left out.
    pub async fn find_each(&self, ids: Vec<UserId>) -> Result<Vec<User>, DatabaseError> {
        self.lists.run(ids).await
    }

    /// The user with this e-mail address, compared without regard to case.
    pub async fn find_by_email(&self, email: &EmailAddress) -> Result<Option<User>, DatabaseError> {
        let rows: Vec<UserRow> = with_pool!(self.database.reader(), |pool| sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM users WHERE email_key = $1"
        ))
        .bind(key(email))
        .fetch_all(pool))?;
        Ok(first(rows)?)
    }

    /// At most `limit` users with ids above `after`, by ascending id.
    pub async fn list_after(&self, after: i64, limit: i64) -> Result<Vec<User>, DatabaseError> {
        let rows: Vec<UserRow> = with_pool!(self.database.reader(), |pool| sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM users WHERE id > $1 ORDER BY id LIMIT $2"
        ))
        .bind(after)
        .bind(limit)
        .fetch_all(pool))?;
        Ok(rows.into_iter().map(user).collect::<sqlx::Result<_>>()?)
    }

    /// Sets the e-mail address and name of the user with this id, if it exists.
    /// [`DatabaseError::UniqueViolation`]: another has the e-mail address.
    pub async fn update(
        &self,
        id: UserId,
        email: &EmailAddress,
        name: &UserName,
    ) -> Result<Option<User>, DatabaseError> {
        let rows: Vec<UserRow> = with_pool!(self.database.writer(), |pool| sqlx::query_as(concat!(
            "UPDATE users SET email = $2, email_key = $3, name = $4
             WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM users WHERE email_key = $3 AND id <> $1)
             RETURNING ",
            columns!()
        ))
        .bind(id.get())
        .bind(email.as_str())
        .bind(key(email))
        .bind(name.as_str())
        .fetch_all(pool))?;
        match first(rows)? {
            // Nothing was changed: tell a missing user from a taken address.
            None if self.find(id).await?.is_some() => Err(DatabaseError::UniqueViolation),
            user => Ok(user),
        }
    }

    /// How the user with this id wants to be notified.
    pub async fn find_contact(&self, id: UserId) -> Result<Option<Contact>, DatabaseError> {
        let rows: Vec<ContactRow> = with_pool!(self.database.reader(), |pool| {
            sqlx::query_as("SELECT phone, language, channels FROM users WHERE id = $1").bind(id.get()).fetch_all(pool)
        })?;
        Ok(rows.into_iter().next().map(contact).transpose()?)
    }

    /// Sets how the user with this id wants to be notified; returns whether it exists.
    pub async fn update_contact(&self, id: UserId, contact: &Contact) -> Result<bool, DatabaseError> {
        let channels: Vec<&str> = contact.channels.iter().map(|channel| channel.as_str()).collect();
        with_pool!(self.database.writer(), |pool| async {
            let update = sqlx::query("UPDATE users SET phone = $2, language = $3, channels = $4 WHERE id = $1")
                .bind(id.get())
                .bind(contact.phone.as_ref().map(PhoneNumber::as_str))
                .bind(contact.language.as_str())
                .bind(channels.join(","));
            Ok(update.execute(pool).await?.rows_affected() > 0)
        })
    }

    /// Deletes the user with this id, and the response stored about its creation; returns whether it existed.
    pub async fn delete(
        &self,
        id: UserId,
        deleted_at: DateTime<Utc>,
        trace: Option<&str>,
    ) -> Result<bool, DatabaseError> {
        with_pool!(self.database.writer(), |pool| async {
            let mut transaction = pool.begin().await?;
            let delete = sqlx::query("DELETE FROM users WHERE id = $1").bind(id.get());
            if delete.execute(&mut *transaction).await?.rows_affected() == 0 {
                return Ok(false);
            }
            remove_responses(&mut transaction, &location(id)).await?;
            let event = self.outbox.event(&UserDeleted { user_id: id }, deleted_at, trace)?;
            let _wake = self.outbox.write(&mut transaction, &[event]).await?;
            transaction.commit().await?;
            Ok(true)
        })
    }
}

fn location(id: UserId) -> String {
    format!("/api/v1/users/{id}")
}

/// Equal for equal e-mail addresses. They are ASCII, so lower case does not depend on a locale.
fn key(email: &EmailAddress) -> String {
    email.as_str().to_ascii_lowercase()
}

/// The user with each of these ids.
async fn find_all(database: Database, ids: Vec<UserId>) -> Vec<Result<Option<User>, DatabaseError>> {
    let select = concat!("SELECT ", columns!(), " FROM users WHERE id");
    let rows = read_by_id(database, select, ids.into_iter().map(UserId::get).collect()).await;
    rows.into_iter().map(|row| Ok(row?.map(user).transpose()?)).collect()
}

/// The existing users of each list.
async fn list_all(database: Database, lists: Vec<Vec<UserId>>) -> Vec<Result<Vec<User>, DatabaseError>> {
    let mut found = find_all(database, lists.concat()).await.into_iter();
    lists.iter().map(|ids| found.by_ref().take(ids.len()).filter_map(Result::transpose).collect()).collect()
}

fn first(rows: Vec<UserRow>) -> sqlx::Result<Option<User>> {
    rows.into_iter().next().map(user).transpose()
}

fn user((id, email, name): UserRow) -> sqlx::Result<User> {
    Ok(User {
        id: id.try_into().map_err(DatabaseError::decode_error)?,
        email: EmailAddress::from_stored(email),
        name: UserName::from_stored(name),
    })
}

fn contact((phone, language, channels): ContactRow) -> sqlx::Result<Contact> {
    let channel = |name: &str| {
        let known = Channel::ALL.into_iter().find(|channel| channel.as_str() == name);
        known.ok_or_else(|| DatabaseError::decode_error(std::io::Error::other("unknown channel")))
    };
    Ok(Contact {
        phone: phone.map(PhoneNumber::from_stored),
        language: Language::from_stored(language),
        channels: channels.split_terminator(',').map(channel).collect::<sqlx::Result<_>>()?,
    })
}
