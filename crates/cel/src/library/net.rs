//! Addresses and networks.

use std::net::IpAddr;

use super::{Function, Outcome, no_such_overload};
use crate::error::EvalError;
use crate::value::Value;

pub(super) fn function(name: &str, is_member: bool) -> Option<Function> {
    Some(match name {
        "ip" if is_member => |_, args| match args {
            [Value::Cidr(ip, _)] => Ok(Value::Ip(*ip)),
            _ => no_such_overload(),
        },
        "ip" => |_, args| match args {
            [Value::String(text)] => parse_ip(text).map(Value::Ip).map_err(EvalError::other),
            _ => no_such_overload(),
        },
        "isIP" => |_, args| match args {
            [Value::String(text)] => Ok(Value::Bool(parse_ip(text).is_ok())),
            _ => no_such_overload(),
        },
        "ip.isCanonical" => |_, args| match args {
            [Value::String(text)] => {
                let ip = parse_ip(text).map_err(EvalError::other)?;
                Ok(Value::Bool(ip.to_string() == **text))
            }
            _ => no_such_overload(),
        },
        "family" => |_, args| match args {
            [Value::Ip(IpAddr::V4(_))] => Ok(Value::Int(4)),
            [Value::Ip(IpAddr::V6(_))] => Ok(Value::Int(6)),
            _ => no_such_overload(),
        },
        "isUnspecified" => |_, args| is(args, IpAddr::is_unspecified),
        "isLoopback" => |_, args| is(args, IpAddr::is_loopback),
        "isLinkLocalMulticast" => |_, args| is(args, is_link_local_multicast),
        "isLinkLocalUnicast" => |_, args| is(args, is_link_local_unicast),
        "isGlobalUnicast" => |_, args| is(args, is_global_unicast),
        "cidr" => |_, args| match args {
            [Value::String(text)] => parse_cidr(text)
                .map(|(ip, bits)| Value::Cidr(ip, bits))
                .map_err(EvalError::other),
            _ => no_such_overload(),
        },
        "isCIDR" => |_, args| match args {
            [Value::String(text)] => Ok(Value::Bool(parse_cidr(text).is_ok())),
            _ => no_such_overload(),
        },
        "containsIP" => |_, args| match args {
            [Value::Cidr(net, bits), Value::Ip(ip)] => Ok(Value::Bool(covers(*net, *bits, *ip))),
            [Value::Cidr(net, bits), Value::String(text)] => {
                let ip = parse_ip(text).map_err(EvalError::other)?;
                Ok(Value::Bool(covers(*net, *bits, ip)))
            }
            _ => no_such_overload(),
        },
        "containsCIDR" => |_, args| match args {
            [Value::Cidr(net, bits), Value::Cidr(ip, longer)] => {
                Ok(Value::Bool(bits <= longer && covers(*net, *bits, *ip)))
            }
            [Value::Cidr(net, bits), Value::String(text)] => {
                let (ip, longer) = parse_cidr(text).map_err(EvalError::other)?;
                Ok(Value::Bool(*bits <= longer && covers(*net, *bits, ip)))
            }
            _ => no_such_overload(),
        },
        "prefixLength" => |_, args| match args {
            [Value::Cidr(_, bits)] => Ok(Value::Int(i64::from(*bits))),
            _ => no_such_overload(),
        },
        "masked" => |_, args| match args {
            [Value::Cidr(ip, bits)] => Ok(Value::Cidr(mask(*ip, *bits), *bits)),
            _ => no_such_overload(),
        },
        _ => return None,
    })
}

fn is<'a>(args: &[Value<'a>], of: fn(&IpAddr) -> bool) -> Outcome<'a> {
    match args {
        [Value::Ip(ip)] => Ok(Value::Bool(of(ip))),
        _ => no_such_overload(),
    }
}

fn is_link_local_multicast(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => matches!(ip.octets(), [224, 0, 0, _]),
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local_unicast(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn is_global_unicast(ip: &IpAddr) -> bool {
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !(ip.is_unspecified()
        || ip.is_loopback()
        || ip.is_multicast()
        || is_broadcast
        || is_link_local_unicast(ip))
}

/// An address; no zones, and no IPv4 within IPv6.
fn parse_ip(text: &str) -> Result<IpAddr, String> {
    if text.contains('%') {
        return Err(format!(
            "IP address {text:?} with zone value is not allowed"
        ));
    }
    let ip: IpAddr = text.parse().map_err(|_| {
        format!(
            "IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): unable to parse IP"
        )
    })?;
    if is_mapped(&ip) {
        return Err(format!("IPv4-mapped IPv6 address {text:?} is not allowed"));
    }
    Ok(ip)
}

fn is_mapped(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some())
}

fn parse_cidr(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = |why: &str| {
        format!(
            "network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix({text:?}): {why}"
        )
    };
    let (ip, bits) = text.rsplit_once('/').ok_or_else(|| wrong("no '/'"))?;
    let ip: IpAddr = ip.parse().map_err(|_| wrong("unable to parse IP"))?;
    let is_number = !bits.is_empty()
        && bits.bytes().all(|b| b.is_ascii_digit())
        && (bits == "0" || !bits.starts_with('0'));
    let bits: u8 = match bits.parse() {
        Ok(bits) if is_number => bits,
        _ => return Err(wrong("bad bits after slash")),
    };
    let most = if ip.is_ipv4() { 32 } else { 128 };
    if bits > most {
        return Err(wrong("prefix length out of range"));
    }
    if is_mapped(&ip) {
        return Err(format!("IPv4-mapped IPv6 address {text:?} is not allowed"));
    }
    Ok((ip, bits))
}

fn mask(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6((ip.to_bits() & mask).into())
        }
    }
}

fn covers(net: IpAddr, bits: u8, ip: IpAddr) -> bool {
    net.is_ipv4() == ip.is_ipv4() && mask(net, bits) == mask(ip, bits)
}
