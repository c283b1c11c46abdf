//! The authorities of client certificates: of users and of front proxies. Their files are read again
//! when they change; what is broken leaves the old ones in force.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Weak;

use tokio::sync::watch;

use super::certificate::{Authority, Holder};
use super::options::{Authentication, OptionsError};
use crate::server::Server;
use crate::watched_file::{self, WatchedFile};

/// The certificates that count, PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trusted {
    pub(crate) users: String,
    /// `None` if no proxy is believed.
    pub(crate) proxies: Option<String>,
}

/// Both authorities.
pub(super) struct Authorities {
    pub(super) users: Authority,
    pub(super) proxies: Option<Authority>,
    trusted: watch::Sender<Trusted>,
    files: Files,
}

/// Where they are read.
struct Files {
    /// The cluster's own authority, which counts in any case.
    own: String,
    users: Option<File>,
    proxies: Option<File>,
    /// A proxy is any holder of a certificate of its authority.
    any_proxy: bool,
}

struct File {
    path: PathBuf,
    watched: WatchedFile,
}

impl File {
    /// Watched before it is read, so that no change is missed.
    fn open(path: &Path) -> Result<Self, OptionsError> {
        let watched = WatchedFile::open(path).map_err(|why| unreadable(path, &why))?;
        Ok(Self { path: path.to_owned(), watched })
    }

    fn read(&self) -> Result<String, OptionsError> {
        watched_file::read(&self.path).map_err(|why| unreadable(&self.path, &why))
    }
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> OptionsError {
    OptionsError::File(path.display().to_string(), why.to_string())
}

impl Files {
    /// The certificates that the files hold now.
    fn users(&self) -> Result<String, OptionsError> {
        let Some(file) = &self.users else { return Ok(self.own.clone()) };
        let further = file.read()?;
        // An authority must be in it, whatever else counts.
        Authority::new(Holder::User, &further).map_err(OptionsError::ClientCa)?;
        Ok(format!("{}\n{further}", self.own.trim_end()))
    }

    fn proxies(&self) -> Result<Option<String>, OptionsError> {
        self.proxies.as_ref().map(File::read).transpose()
    }

    /// Refuses proxies that every user could be.
    fn check(&self, trusted: &Trusted) -> Result<(), OptionsError> {
        let overlap = trusted.proxies.as_ref();
        let overlap = overlap.filter(|proxies| pki::tls::overlap(proxies, &trusted.users));
        match overlap {
            Some(_) if self.any_proxy => Err(OptionsError::Overlap),
            _ => Ok(()),
        }
    }
}

impl Authorities {
    /// Reads the files.
    ///
    /// # Errors
    /// They cannot be read, or hold no authority.
    pub(super) fn new(options: &Authentication, own: &str) -> Result<Self, OptionsError> {
        let of = |path: &Option<PathBuf>| path.as_deref().map(File::open).transpose();
        let files = Files {
            own: own.to_owned(),
            users: of(&options.client_ca_file)?,
            proxies: of(&options.request_header.client_ca_file)?,
            any_proxy: options.request_header.allowed_names.is_empty(),
        };
        let trusted = Trusted { users: files.users()?, proxies: files.proxies()? };
        files.check(&trusted)?;
        let users = Authority::new(Holder::User, &trusted.users).map_err(OptionsError::ClientCa)?;
        let proxies = match (&trusted.proxies, &files.proxies) {
            (Some(pem), Some(file)) => {
                let made = Authority::new(Holder::Proxy, pem);
                Some(made.map_err(|why| unreadable(&file.path, &why))?)
            }
            _ => None,
        };
        Ok(Self { users, proxies, trusted: watch::Sender::new(trusted), files })
    }

    /// The certificates that count, now and later.
    pub(super) fn trusted(&self) -> watch::Receiver<Trusted> {
        self.trusted.subscribe()
    }

    /// Puts in force what the files hold now. Returns true if that is something new.
    fn read_again(&self) -> bool {
        let old = self.trusted.borrow().clone();
        let mut new = old.clone();
        let kept = |why: OptionsError| {
            tracing::error!(%why, "an authority of client certificates is not replaced");
        };
        for (of, holder) in [(&self.users, Holder::User)]
            .into_iter()
            .chain(self.proxies.as_ref().map(|proxies| (proxies, Holder::Proxy)))
        {
            let read = match holder {
                Holder::User => self.files.users().map(|users| Trusted { users, ..new.clone() }),
                Holder::Proxy => {
                    self.files.proxies().map(|proxies| Trusted { proxies, ..new.clone() })
                }
            };
            let checked = read.and_then(|trusted| self.files.check(&trusted).map(|()| trusted));
            let trusted = match checked {
                Ok(trusted) if trusted == new => continue,
                Ok(trusted) => trusted,
                Err(why) => {
                    kept(why);
                    continue;
                }
            };
            let pem = match holder {
                Holder::User => Some(&trusted.users),
                Holder::Proxy => trusted.proxies.as_ref(),
            };
            match pem.map(|pem| of.replace(pem)) {
                Some(Ok(())) => new = trusted,
                Some(Err(why)) => kept(OptionsError::ClientCa(why)),
                None => {}
            }
        }
        self.trusted.send_if_modified(|trusted| {
            let changed = *trusted != new;
            *trusted = new;
            changed
        })
    }

    /// Waits until a file may have changed.
    async fn changed(&self) -> std::io::Result<()> {
        let change = async |file: &Option<File>| match file {
            Some(file) => file.watched.changed().await,
            None => pending().await,
        };
        tokio::select! {
            changed = change(&self.files.users) => changed,
            changed = change(&self.files.proxies) => changed,
        }
    }
}

/// Follows the files until the server is dropped.
pub(crate) async fn run(server: Weak<Server>) {
    let authorities = server.upgrade().map(|server| server.authn.authorities.clone());
    let Some(authorities) = authorities else { return };
    loop {
        // The server is not held meanwhile.
        if let Err(why) = authorities.changed().await {
            tracing::error!(%why, "watching the authorities of client certificates");
            return pending().await;
        }
        let Some(server) = server.upgrade() else { return };
        if authorities.read_again() {
            tracing::info!("the authorities of client certificates are replaced");
            if let Err(why) = crate::bootstrap::publish_authorities(&server).await {
                tracing::error!(why = why.message, "publishing the authorities of clients");
            }
        }
    }
}
