//! Pages: what a user asks for in one event, and what the server says to it.

use super::random::Random;
use super::sessions::Turn;
use super::user::Level;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    NextSong,
    Home,
    Login,
    Logout,
    About,
    Help,
    Settings,
    SaveSettings,
    Upgrade,
    Downgrade,
    SubmitUpgrade,
    SubmitDowngrade,
    Error,
}

/// Whether the server knows who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Auth {
    LoggedIn,
    LoggedOut,
}

impl Auth {
    pub fn name(self) -> &'static str {
        match self {
            Self::LoggedIn => "Logged In",
            Self::LoggedOut => "Logged Out",
        }
    }
}

impl Page {
    pub fn name(self) -> &'static str {
        match self {
            Self::NextSong => "NextSong",
            Self::Home => "Home",
            Self::Login => "Login",
            Self::Logout => "Logout",
            Self::About => "About",
            Self::Help => "Help",
            Self::Settings => "Settings",
            Self::SaveSettings => "Save Settings",
            Self::Upgrade => "Upgrade",
            Self::Downgrade => "Downgrade",
            Self::SubmitUpgrade => "Submit Upgrade",
            Self::SubmitDowngrade => "Submit Downgrade",
            Self::Error => "Error",
        }
    }

    /// The method of the request and the status of the answer: what changes something leads to another page.
    pub fn request(self) -> (&'static str, &'static str) {
        match self {
            Self::NextSong => ("PUT", "200"),
            Self::Login
            | Self::Logout
            | Self::SaveSettings
            | Self::SubmitUpgrade
            | Self::SubmitDowngrade => ("PUT", "307"),
            Self::Error => ("GET", "404"),
            Self::Home
            | Self::About
            | Self::Help
            | Self::Settings
            | Self::Upgrade
            | Self::Downgrade => ("GET", "200"),
        }
    }

    /// Where a user considers other terms.
    pub fn to_leave(level: Level) -> Self {
        match level {
            Level::Free => Self::Upgrade,
            Level::Paid => Self::Downgrade,
        }
    }

    /// Where a user agrees to other terms.
    pub fn to_have_left(level: Level) -> Self {
        match level {
            Level::Free => Self::SubmitUpgrade,
            Level::Paid => Self::SubmitDowngrade,
        }
    }
}

/// How a session begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Course {
    /// It begins with a login.
    logs_in: bool,
    /// It ends with a logout, and a look around after it.
    logs_out: bool,
}

impl Course {
    /// Draws the course of a session. As in the sample, about one in ten logs in and one in ten logs out.
    pub fn new(random: &mut Random, turn: Turn) -> Self {
        let drawn = random.below(64);
        Self {
            logs_in: turn.length >= 4 && drawn < 12,
            logs_out: turn.length >= 6 && drawn.is_multiple_of(5),
        }
    }

    /// What happens at a turn, as far as `level` lets it; `random` is the event's own.
    pub fn page(self, random: &mut Random, turn: Turn, level: Level) -> (Auth, Page) {
        match (turn.item, turn.length - turn.item) {
            (0, _) if self.logs_in => return (Auth::LoggedOut, Page::Home),
            (1, _) if self.logs_in => return (Auth::LoggedOut, Page::Login),
            (2, _) if self.logs_in => return (Auth::LoggedIn, Page::Home),
            (_, 2) if self.logs_out => return (Auth::LoggedIn, Page::Logout),
            (_, 1) if self.logs_out => {
                let page =
                    *random.pick(&[Page::Home, Page::Home, Page::Home, Page::About, Page::Help]);
                return (Auth::LoggedOut, page);
            }
            _ => {}
        }
        // In thousandths, after the sample.
        let page = match random.below(1000) {
            0..880 => Page::NextSong,
            880..963 => Page::Home,
            963..975 => Page::to_leave(level),
            975..983 => Page::Settings,
            983..989 => Page::Help,
            989..994 => Page::About,
            994..997 => Page::SaveSettings,
            _ => Page::Error,
        };
        (Auth::LoggedIn, page)
    }

    /// Whether the user is logged in at a turn and at those around it.
    pub fn is_settled(self, turn: Turn) -> bool {
        let first = if self.logs_in { 3 } else { 1 };
        let last = if self.logs_out { 3 } else { 1 };
        turn.item >= first && turn.item + last < turn.length
    }
}
