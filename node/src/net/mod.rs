//! The libp2p mesh of one room: behaviour, link authentication, event loop.
