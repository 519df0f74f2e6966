//! Client of the rendezvous: create, login, presence, delete.
